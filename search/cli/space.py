"""`sitenet space`: search spaces."""

import argparse

from search.cli.output import Commands, add_json, print_json


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
    add_json(check)
    check.set_defaults(run=run_check)


def run_check(options: argparse.Namespace) -> int:
    """Print what the space holds; its errors leave as ConfigError."""
    from search.space import check_report, load_space

    report = check_report(load_space(options.file))
    if options.json:
        print_json(report.as_dict())
    else:
        print("\n".join(report.lines()))
    return 0
