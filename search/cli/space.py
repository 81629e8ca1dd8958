"""`sitenet space`: search spaces."""

import argparse
import sys
from typing import TYPE_CHECKING

from search.cli.output import Commands, add_json, print_json

if TYPE_CHECKING:
    from search.space import Space
    from search.space.forecasts import ForecastRow


def add_parsers(commands: Commands) -> None:
    """Add `space check`."""
    group = commands.add_parser("space", help="search spaces").add_subparsers(
        metavar="COMMAND", required=True
    )
    check = group.add_parser(
        "check", help="every error with line and column, or a summary"
    )
    check.add_argument(
        "file", metavar="FILE", help="a YAML file or the name of a shipped space"
    )
    check.add_argument(
        "--store",
        metavar="STORE",
        help="also forecast memory and time per epoch on this packed store (folder, or "
        "start of its name; `sitenet data build SOURCE` makes one), for one CPU "
        "thread or the GPU; the first time, the machine is measured for a minute or "
        "two",
    )
    add_json(check)
    check.set_defaults(run=run_check)


def run_check(options: argparse.Namespace) -> int:
    """Print what the space holds; its errors leave as ConfigError."""
    from search.space import check_report, load_space

    space = load_space(options.file)
    report = check_report(space)
    rows = _forecast(space, options.store) if options.store is not None else []
    if options.json:
        forecast = [row.as_dict() for row in rows]
        print_json({**report.as_dict(), "forecast": forecast})
    else:
        print("\n".join([*report.lines(), *(row.line() for row in rows)]))
    return 0


def _forecast(space: "Space", name: str) -> "list[ForecastRow]":
    """Return what training takes, on the device that a trial would choose."""
    from search.space.forecasts import space_forecast
    from sitenet_core.families.stores import find_store
    from sitenet_core.training.calibrating import Calibrating
    from sitenet_core.training.machine import choose_device

    store = find_store(name)
    options = Calibrating(
        root=store.path.parent, device=choose_device("auto"), on_probe=_tell
    )
    return space_forecast(space, store, options)


def _tell(number: int, count: int) -> None:
    print(f"measuring this machine: training {number} of {count}", file=sys.stderr)
