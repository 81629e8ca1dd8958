"""`sitenet predict`: a CSV row per structure, good or bad."""

import argparse
import csv
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from search.cli.models import MODEL_HELP, bundle_folder
from search.cli.output import Commands, add_directory
from sitenet_core.errors import ConfigError

if TYPE_CHECKING:
    from sitenet_core.predict import PredictionRow

DATA = 3


def add_parsers(commands: Commands) -> None:
    """Add `predict`."""
    parser = commands.add_parser("predict", help="predict from structure files, as CSV")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="files, folders or zips"
    )
    parser.add_argument(
        "--output", type=Path, help="CSV file; default: standard output"
    )
    add_directory(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print one row per structure; 3 only if none could be predicted."""
    from sitenet_core.bundle import load_bundle
    from sitenet_core.predict import predict_paths

    output: Path | None = options.output
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise ConfigError(
            f"--output {output}: is a folder, or lies in none that exists; give the "
            "path of a CSV file in a folder that is there"
        )
    bundle = load_bundle(bundle_folder(options.model, options.dir))
    rows = predict_paths(bundle, options.paths)
    if output is None:
        _write(sys.stdout, rows)
    else:
        with output.open("w", encoding="utf-8", newline="") as file:
            _write(file, rows)
    return 0 if any(row.status == "ok" for row in rows) else DATA


def _write(file: TextIO, rows: Iterable["PredictionRow"]) -> None:
    from sitenet_core.predict import COLUMNS

    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
