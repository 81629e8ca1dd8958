"""Measures the model core: one command, a report with manifest.

    .venv/bin/python -m experiments.benchmarks.core.run --data ../shared/data/\
mp_gap_20k.parquet --work FOLDER [--published CHECKOUT] [--device cuda] [--quick]

Every measurement is a fresh process with one thread; all take turns, so that a change
of the machine's pace meets all of them. Each result is written at once to
`results.json` in `--out`: a run that is interrupted goes on where it was.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.core import job as one
from experiments.benchmarks.core.measuring import TUNED_MALLOC
from experiments.benchmarks.core.plan import TUNED, Job, all_jobs
from experiments.benchmarks.core.report import write_report
from experiments.benchmarks.core.sample import write_samples
from experiments.benchmarks.core.setup import Setup, quick
from experiments.record import git, write_json

GPU_POOL = 5000
"""Structures whose epochs are timed on a GPU."""
_EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt|Failed)\b")
"""How the line of a traceback begins that says what went wrong."""
ROOT = Path(__file__).resolve().parents[3]
Runner = Callable[[Setup, Job], dict[str, Any]]
Results = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Measure what has not been measured yet, then write the report."""
    options = _options()
    setup = Setup(
        work=options.work.resolve(),
        data=options.data.resolve(),
        published=options.published and options.published.resolve(),
        device=options.device,
        seed=options.seed,
        pool=Setup.pool if options.device == "cpu" else GPU_POOL,
    )
    if options.quick:
        setup = quick(setup)
    plan = Plan(options.out, options.repetitions, tuple(options.only))
    measure_all(setup, plan, in_own_process)
    write_report(setup, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the model core.")
    parser.add_argument("--data", type=Path, required=True, help="mp_gap_20k.parquet")
    parser.add_argument("--work", type=Path, required=True, help="temporary folder")
    default = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=default, help="the report's folder")
    parser.add_argument("--published", type=Path, help="checkout of lrcfmd/Site-Net")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", nargs="+", default=[""], help="first letters of measurements' names"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, no meaning")
    return parser.parse_args()


@dataclass(frozen=True)
class Plan:
    """What of a setup is measured, how often, and where the results go."""

    out: Path
    repetitions: int = 5
    only: tuple[str, ...] = ("",)
    """How names of measurements may begin."""


def measure_all(setup: Setup, plan: Plan, runner: Runner) -> None:
    """Run every job as often as it has not succeeded yet, all in turn."""
    setup.save()
    write_samples(setup)
    plan.out.mkdir(parents=True, exist_ok=True)
    path = plan.out / "results.json"
    results: Results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    wanted = [j for j in all_jobs(setup).values() if j.name.startswith(plan.only)]
    for repetition in range(plan.repetitions):
        for job in wanted:
            name = job.name
            found = results.setdefault(name, [])
            good = sum("error" not in result for result in found)
            if good > repetition or (job.once and good):
                continue
            found[:] = [r for r in found if "error" not in r]
            found.append({**runner(setup, job), "commit": git("rev-parse", "HEAD")})
            write_json(results, path)
            print(repetition + 1, name, _headline(found[-1]), flush=True)


def in_own_process(setup: Setup, job: Job) -> dict[str, Any]:
    """Return the result of `job` from a fresh process, or its last line as `error`."""
    arguments = [job.module, str(setup.work), json.dumps(job.arguments)]
    with tempfile.TemporaryDirectory() as empty:
        cache = {"NUMBA_CACHE_DIR": empty} if job.cold else {}
        done = subprocess.run(
            [sys.executable, "-m", "experiments.benchmarks.core.job", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=_environment(job) | cache,
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        named = [line for line in lines if _EXCEPTION.match(line)] or lines
        return {"error": f"exit {done.returncode}: {named[-1]}"}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def in_this_process(setup: Setup, job: Job) -> dict[str, Any]:
    """Return the result of `job`, whose memory and first calls are then not its own."""
    return one.measure(job.module, setup.work, job.arguments)


def _environment(job: Job) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    tuned = TUNED_MALLOC if job.malloc == TUNED else {}
    return kept | threads | paths | tuned


def _headline(result: dict[str, Any]) -> str:
    shown = ("error", "cpu_seconds", "wall_seconds", "peak_bytes", "mean_ms")
    return ", ".join(f"{key} {result[key]}" for key in shown if key in result)


if __name__ == "__main__":
    main()
