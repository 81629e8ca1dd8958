"""`sitenet train`: one training, the same `fit` as every trial."""

import argparse
from pathlib import Path

from search.cli.output import (
    Commands,
    add_json,
    folder,
    print_json,
    print_pairs,
)


def add_parsers(commands: Commands) -> None:
    """Add `train`."""
    parser = commands.add_parser("train", help="train one configuration")
    parser.add_argument(
        "config", type=Path, metavar="CONFIG", help="a training file (YAML)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint"
    )
    parser.add_argument(
        "--dir",
        type=folder,
        default=Path("trainings"),
        metavar="D",
        help="folder of trainings (default: ./trainings)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train and print the validation error and where the bundle lies."""
    from search.study.live import build_bar
    from sitenet_core.training.job import JobOptions, load_job, run_job

    job = load_job(options.config)
    place = options.dir / job.config.name
    with build_bar(shown=not options.json) as on_progress:
        result = run_job(
            job, JobOptions(place, options.resume, not options.json), on_progress
        )
    document = {
        "name": job.config.name,
        "epochs": result.fit.epochs,
        "best_epoch": result.fit.best_epoch,
        "best_val_mae": result.fit.best_val_mae,
        "unit": job.config.data.target.unit,
        "seconds": result.fit.wall_seconds,
        "device": result.fit.device,
        "threads": result.fit.threads,
        "bundle": str(result.bundle),
    }
    if options.json:
        print_json(document)
    else:
        print_pairs(document)
    return 0
