"""What commands share: types of their parsers, JSON and tables on standard output."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The private name is the only one argparse gives this type.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001
else:
    Commands = Any

DEFAULT_DIRECTORY = Path("studies")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`: one JSON document on standard output and nothing else."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document and nothing else"
    )


def add_directory(parser: argparse.ArgumentParser) -> None:
    """Add `--dir`: the folder of studies, with MLflow's default store beside them."""
    parser.add_argument(
        "--dir",
        type=folder,
        default=DEFAULT_DIRECTORY,
        metavar="D",
        help="folder of studies and of MLflow's default store (default: ./studies)",
    )


def folder(text: str) -> Path:
    """Return the path of a folder, there or still to be made; a file is refused."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    return path


def positive(text: str) -> int:
    """Return a whole number from 1; what else is written is a wrong option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def print_json(document: Any) -> None:
    """Print `document` as JSON; paths become strings, NaN is refused."""
    print(json.dumps(document, indent=2, default=_encode, allow_nan=False))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as an aligned table with a header line."""
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [
        max(len(text) for text in column)
        for column in zip(columns, *cells, strict=True)
    ]
    for line in [list(columns), *cells]:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Print one `name  value` line per pair, aligned."""
    width = max(len(name) for name in pairs)
    for name, value in pairs.items():
        print(f"{name.ljust(width)}  {_cell(value)}")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value)


def _encode(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
