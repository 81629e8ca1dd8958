"""`sitenet promote`: the best trial becomes a tested, registered model."""

import argparse

from search.cli.output import (
    Commands,
    add_directory,
    add_json,
    print_json,
)


def add_parsers(commands: Commands) -> None:
    """Add `promote`."""
    parser = commands.add_parser(
        "promote",
        help="train the best trial long, test it once, register it",
        description="Train the best trials again with further seeds, choose one by "
        "their mean, train it long, test it once and register it. `promotion.top_k` "
        "and `promotion.seeds` of the study file say how many of each, 15 trainings if "
        "they are left out, and may be changed until this is begun. What is done is "
        "not done again after an interruption.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the study")
    add_directory(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Promote the study's best trial and print the test errors."""
    from search.promotion import promote
    from search.study import find_study

    result = promote(find_study(options.name, options.dir), progress=not options.json)
    if options.json:
        print_json(result.as_dict())
    else:
        print(result.as_text())
    return 0
