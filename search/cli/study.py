"""`sitenet search`: run a study, say what its journal says, show it in MLflow."""

import argparse
from pathlib import Path

from search.cli.output import (
    Commands,
    add_directory,
    add_json,
    print_json,
)

INTERRUPTED = 130


def add_parsers(commands: Commands) -> None:
    """Add `search run`, `search status` and `search sync`."""
    group = commands.add_parser("search", help="studies").add_subparsers(
        metavar="COMMAND", required=True
    )
    run = group.add_parser("run", help="run a study, or go on with one")
    run.add_argument(
        "study", type=Path, metavar="STUDY", help="a study file (YAML), or `quickstart`"
    )
    run.add_argument(
        "--resume", action="store_true", help="go on with a study that was begun"
    )
    run.add_argument(
        "--edit",
        action="store_true",
        help="go on with a study whose space was changed; trials that fit are kept",
    )
    run.add_argument("--name", metavar="N", help="name of the study, if not the file's")
    add_directory(run)
    add_json(run)
    run.set_defaults(run=run_study_command)
    status = group.add_parser("status", help="what the journal of a study says")
    status.add_argument("name", metavar="NAME", help="name of the study")
    add_directory(status)
    add_json(status)
    status.set_defaults(run=run_status)
    sync = group.add_parser("sync", help="rebuild a study in MLflow from its journal")
    sync.add_argument("name", metavar="NAME", help="name of the study")
    add_directory(sync)
    add_json(sync)
    sync.set_defaults(run=run_sync)


def run_study_command(options: argparse.Namespace) -> int:
    """Run the study and print how it stands; 130 if it was interrupted."""
    from search.study import RunOptions, run_study

    summary = run_study(
        options.study,
        RunOptions(
            directory=options.dir,
            name=options.name,
            resume=options.resume,
            edit=options.edit,
            progress=not options.json,
        ),
    )
    if options.json:
        print_json(summary.as_dict())
    else:
        print("\n".join(summary.lines()))
    return INTERRUPTED if summary.interrupted else 0


def run_status(options: argparse.Namespace) -> int:
    """Print how a study stands, from its journal alone."""
    from search.study import find_study, study_summary

    summary = study_summary(find_study(options.name, options.dir))
    if options.json:
        print_json(summary.as_dict())
    else:
        print("\n".join(summary.lines()))
    return 0


def run_sync(options: argparse.Namespace) -> int:
    """Bring MLflow up to what the journal says and print what that took."""
    from search.study import find_study, sync_study

    report = sync_study(find_study(options.name, options.dir))
    if options.json:
        print_json(report.as_dict())
    else:
        print("\n".join(report.lines()))
    return 0
