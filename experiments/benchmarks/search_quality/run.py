"""Compares searches on LCBench: one command, a report with manifest.

    .venv/bin/python -m experiments.benchmarks.search_quality.run \
--data ../shared/bench/lcbench --work FOLDER [--seeds 20] [--processes 1]

Each search is kept as a small file under `--work` as soon as it is done, so that a run
that is interrupted goes on where it was. A result of other code (of the engine, of a
peer's loop, of another version of a peer) is measured anew.
"""

import argparse
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from experiments.benchmarks.search_quality.jobs import (
    Job,
    Result,
    load_result,
    run_job,
    save_result,
)
from experiments.benchmarks.search_quality.lcbench import Surrogate
from experiments.benchmarks.search_quality.methods import METHODS, OURS
from experiments.benchmarks.search_quality.plan import PARTS, Plan
from experiments.benchmarks.search_quality.problem import Suite
from experiments.benchmarks.search_quality.report import write_report
from experiments.benchmarks.search_quality.results import Results
from experiments.record import git, processor, write_json

_PACKAGES = (
    *("hyperopt", "numpy", "onnxruntime", "optuna", "ray", "scipy"),
    *("scikit-learn", "smac"),
)


def main() -> None:
    """Search what has not been searched yet, then write the report."""
    options = _options()
    plan = Plan(options.seeds, options.trainings, options.parts, options.methods)
    suite = Surrogate(options.data.resolve())
    jobs = plan.jobs(suite.tasks)
    if not options.report_only:
        measure(jobs, suite, options.work, options.processes)
    results = Results.of(cached(jobs, options.work))
    write_report(results, options.out, trainings=options.trainings)
    write_json(manifest(plan, results), options.out / "manifest.json")


def cached(jobs: list[Job], folder: Path) -> Iterator[Result]:
    """Yield the results that are there."""
    for job in jobs:
        result = load_result(job, folder)
        if result is not None:
            yield result


def measure(jobs: list[Job], suite: Suite, folder: Path, processes: int = 1) -> None:
    """Run the searches that have no result yet."""
    due = [job for job in jobs if load_result(job, folder) is None]
    print(f"{len(jobs) - len(due)} of {len(jobs)} searches are there", flush=True)
    if processes == 1:
        for count, job in enumerate(due, start=1):
            save_result(run_job(job, suite, folder), folder)
            _say(count, len(due), job)
        return
    if not isinstance(suite, Surrogate):
        raise ValueError("other suites run in one process")
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = {pool.submit(_run_there, j, suite.folder, folder): j for j in due}
        for count, done in enumerate(as_completed(waiting), start=1):
            done.result()
            _say(count, len(due), waiting[done])


def _run_there(job: Job, data: Path, folder: Path) -> None:
    save_result(run_job(job, _suite(data), folder), folder)


@lru_cache(maxsize=1)
def _suite(data: Path) -> Surrogate:
    _quiet()
    return Surrogate(data)


def manifest(plan: Plan, results: Results) -> dict[str, Any]:
    """Return what decides the numbers, and what they were measured on."""
    counts = {name: len(found) for name, found in sorted(results.by_variant.items())}
    return {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted": git("status", "--porcelain").splitlines(),
        "engine_under_test": OURS,
        "fingerprints": {name: m.fingerprint for name, m in METHODS.items()},
        "seeds": plan.seeds,
        "trainings": plan.trainings,
        "searches": counts,
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare searches on LCBench.")
    parser.add_argument("--data", type=Path, required=True, help="folder of LCBench")
    parser.add_argument("--work", type=Path, required=True, help="folder of the cache")
    default = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=default, help="the report's folder")
    parser.add_argument("--seeds", type=int, default=Plan.seeds)
    parser.add_argument("--trainings", type=int, default=Plan.trainings)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument(
        "--methods", nargs="+", default=tuple(METHODS), choices=tuple(METHODS)
    )
    parser.add_argument(
        "--report-only", action="store_true", help="search nothing, write the report"
    )
    options = parser.parse_args()
    options.parts, options.methods = tuple(options.parts), tuple(options.methods)
    return options


def _say(count: int, total: int, job: Job) -> None:
    print(f"{count}/{total} {job.variant} {job.task} seed {job.seed}", flush=True)


def _quiet() -> None:
    """Keep what the peers' packages say of themselves out of the output."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


if __name__ == "__main__":
    _quiet()
    main()
