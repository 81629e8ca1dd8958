"""`sitenet evaluate`: the errors of a model on a labelled data set."""

import argparse
from dataclasses import asdict

from search.cli.models import MODEL_HELP, bundle_folder
from search.cli.output import (
    Commands,
    add_directory,
    add_json,
    print_json,
    print_pairs,
)


def add_parsers(commands: Commands) -> None:
    """Add `evaluate`."""
    parser = commands.add_parser("evaluate", help="errors on a labelled data set")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "data", metavar="DATA", help="a source, as for `sitenet data build`"
    )
    parser.add_argument("--labels", help="CSV of a folder or zip, if it lies elsewhere")
    parser.add_argument("--column", help="label column; default: the model's own")
    parser.add_argument(
        "--fold", type=int, help="only the test crystals of this official fold"
    )
    add_directory(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print MAE, RMSE and count; with `--json` every prediction too."""
    from search.study.live import build_bar
    from sitenet_core.bundle import load_bundle
    from sitenet_core.predict.labelled import LabelledData, evaluate_source

    bundle = load_bundle(bundle_folder(options.model, options.dir))
    data = LabelledData(options.data, options.labels, options.column, options.fold)
    with build_bar(shown=not options.json) as on_progress:
        evaluation = asdict(evaluate_source(bundle, data, on_progress))
    if options.json:
        print_json(evaluation)
    else:
        print_pairs({k: v for k, v in evaluation.items() if k != "predictions"})
    return 0
