"""Measures what a history is worth, and what a misleading one costs, on LCBench.

    .venv/bin/python -m experiments.benchmarks.warm_start.run \
--data ../shared/bench/lcbench --work FOLDER [--seeds 3] [--trainings 20]

Each search is kept as a small file under `--work` as soon as it is done, so that a run
that is interrupted goes on where it was; a result of other code is measured anew. The
folder of the benchmark `search_quality` serves as well: the histories are the same.
"""

import argparse
import platform
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from experiments.benchmarks.search_quality.comparison import Block
from experiments.benchmarks.search_quality.lcbench import Surrogate
from experiments.benchmarks.search_quality.methods import ENGINES, OURS
from experiments.benchmarks.search_quality.problem import Suite
from experiments.benchmarks.search_quality.warm import warm_fingerprint
from experiments.benchmarks.warm_start.report import Regrets, report
from experiments.benchmarks.warm_start.searches import HISTORIES, Search
from experiments.record import git, processor, write_json


def main() -> None:
    """Search what has not been searched yet, then write the report."""
    options = _options()
    suite = Surrogate(options.data.resolve())
    found = measure(searches(options, suite.tasks), suite, options.work)
    options.out.mkdir(parents=True, exist_ok=True)
    text = report(found, options.trainings, options.earlier_trainings)
    (options.out / "report.md").write_text(text, encoding="utf-8")
    write_json(_manifest(options), options.out / "manifest.json")


def searches(options: argparse.Namespace, tasks: tuple[str, ...]) -> list[Search]:
    """Return all searches, the seeds in the outermost loop."""
    return [
        Search(
            method, history, task, seed, options.trainings, options.earlier_trainings
        )
        for seed, task, method, history in product(
            range(options.seeds), tasks, options.methods, HISTORIES
        )
    ]


def measure(wanted: list[Search], suite: Suite, folder: Path) -> Regrets:
    """Return method → history → task and seed → regrets."""
    found: dict[str, dict[str, dict[Block, tuple[float, ...]]]] = {}
    for count, search in enumerate(wanted, start=1):
        regrets = search.result(suite, folder)
        histories = found.setdefault(search.method, {})
        histories.setdefault(search.history, {})[search.task, search.seed] = regrets
        words = f"{search.method} {search.history} {search.task} seed {search.seed}"
        print(f"{count}/{len(wanted)} {words}: {regrets[-1]:.3f}", flush=True)
    return found


def _manifest(options: argparse.Namespace) -> dict[str, Any]:
    packages = ("hyperopt", "numpy", "onnxruntime", "scikit-learn", "scipy")
    return {
        "commit": git("rev-parse", "HEAD"),
        "fingerprints": {
            name: warm_fingerprint(ENGINES[name]) for name in options.methods
        },
        "seeds": options.seeds,
        "trainings": options.trainings,
        "earlier_trainings": options.earlier_trainings,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "hardware": {
            "processor": processor(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what histories are worth.")
    parser.add_argument("--data", type=Path, required=True, help="folder of LCBench")
    parser.add_argument("--work", type=Path, required=True, help="folder of the cache")
    default = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=default, help="the report's folder")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--trainings", type=int, default=50)
    parser.add_argument(
        "--earlier-trainings", type=int, default=50, help="of each earlier search"
    )
    parser.add_argument("--methods", nargs="+", default=(OURS,), choices=tuple(ENGINES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
