"""`sitenet data`: packed stores."""

import argparse
from pathlib import Path
from typing import Any

from search.cli.output import (
    Commands,
    add_json,
    positive,
    print_json,
    print_pairs,
    print_table,
)

SKIPPED_SHOWN = 20


def add_parsers(commands: Commands) -> None:
    """Add `data build`, `data list` and `data show`."""
    group = commands.add_parser("data", help="packed stores").add_subparsers(
        metavar="COMMAND", required=True
    )
    _add_build(group)
    listing = group.add_parser("list", help="the stores that are there")
    add_json(listing)
    listing.set_defaults(run=run_list)
    show = group.add_parser("show", help="what a store holds, read and skipped")
    show.add_argument(
        "store", metavar="STORE", help="folder of a store, or the start of its name"
    )
    show.add_argument("--verify", action="store_true", help="read every byte again")
    add_json(show)
    show.set_defaults(run=run_show)


def _add_build(group: Commands) -> None:
    build = group.add_parser("build", help="build a store, report every crystal")
    build.add_argument(
        "source",
        metavar="SOURCE",
        help="`embedded`, `matbench:TASK`, a Parquet table, a folder or zip of "
        "structure files with a CSV, one structure file, or pymatgen JSON",
    )
    build.add_argument("--labels", help="CSV of a folder or zip, if it lies elsewhere")
    build.add_argument(
        "--column",
        default="target",
        help="column of a CSV in which every value must be a number, and the name of "
        "the value column where there is no header (default: target)",
    )
    build.add_argument("--family", default="sitenet", help="default: sitenet")
    build.add_argument(
        "--cell",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the cells, e.g. max_atoms=100; may be repeated",
    )
    build.add_argument(
        "--workers", type=positive, help="processes (default: one per CPU)"
    )
    build.add_argument(
        "--max-failed-fraction",
        type=float,
        default=0.05,
        help="share of unusable crystals above which nothing is stored",
    )
    add_json(build)
    build.set_defaults(run=run_build)


def run_build(options: argparse.Namespace) -> int:
    """Build or find the store and print what was read, skipped and why."""
    from search.study.live import build_bar
    from sitenet_core.families.stores import StoreRequest, build_requested_store

    request = StoreRequest(
        source=options.source,
        labels=options.labels,
        column=options.column,
        family=options.family,
        cell=tuple(options.cell),
        workers=options.workers,
        max_failed_fraction=options.max_failed_fraction,
    )
    with build_bar(shown=not options.json) as on_progress:
        summary = build_requested_store(request, on_progress)
    _print_store(summary, options)
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Print one row per store, damaged ones included."""
    from sitenet_core.families.stores import store_rows

    rows = store_rows()
    if options.json:
        print_json({"stores": rows})
    elif rows:
        print_table(["name", "source", "crystals", "bytes", "problem"], rows)
    else:
        print("There are no stores yet; `sitenet data build SOURCE` makes one.")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print what one store holds."""
    from sitenet_core.families.stores import describe_store, find_store

    store = find_store(options.store)
    if options.verify:
        store.verify()
    _print_store(describe_store(store), options)
    return 0


def _print_store(summary: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print_json(summary)
        return
    skipped = summary["skipped"]
    columns = summary["imputed"].items()
    imputed = "; ".join(f"{column}: {' '.join(names)}" for column, names in columns)
    print_pairs({**summary, "imputed": imputed or "none", "skipped": len(skipped)})
    for row in skipped[:SKIPPED_SHOWN]:
        print(f"  skipped {row['id']}: {row['reason']}")
    if len(skipped) > SKIPPED_SHOWN:
        report = Path(summary["folder"]) / "report.json"
        print(f"  ... and {len(skipped) - SKIPPED_SHOWN} more: {report}")
