"""`sitenet doctor`: what is installed, which device, which store, which cluster."""

import argparse
from dataclasses import asdict

from search.cli.output import (
    Commands,
    add_directory,
    add_json,
    print_json,
    print_table,
)

INFRASTRUCTURE = 5


def add_parsers(commands: Commands) -> None:
    """Add `doctor`."""
    parser = commands.add_parser("doctor", help="say what is installed and reachable")
    add_directory(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print every check; 5 if one failed."""
    from search.study.doctor import examine

    checks = [asdict(check) for check in examine(options.dir)]
    if options.json:
        print_json({"checks": checks})
    else:
        print_table(["status", "name", "detail"], checks)
    failed = any(check["status"] == "failed" for check in checks)
    return INFRASTRUCTURE if failed else 0
