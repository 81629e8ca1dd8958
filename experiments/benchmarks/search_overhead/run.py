"""Measures what a search costs beside its trainings.

    .venv/bin/python -m experiments.benchmarks.search_overhead.run --work FOLDER

Writes `report.md`, `results.json` and `manifest.json` beside this file. A few minutes.
"""

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.record import git, processor, write_json

HERE = Path(__file__).parent
SPACE = "sitenet/table1_2023"
SIZES = (200, 2000)
_PACKAGES = ("hyperopt", "numpy", "optuna", "pydantic", "ray", "scipy")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="Measure the overhead of a search.")
    parser.add_argument("--work", type=Path, required=True, help="a folder to write in")
    parser.add_argument("--out", type=Path, default=HERE, help="for the report")
    parser.add_argument("--repetitions", type=int, default=9, help="of a proposal")
    parser.add_argument("--segments", type=int, default=110, help="through Ray")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="trials")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    results = measure(options)
    from experiments.benchmarks.search_overhead.report import report

    write_json(results, options.out / "results.json")
    write_json(manifest(), options.out / "manifest.json")
    (options.out / "report.md").write_text(report(results), encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return every number of the report."""
    load = os.getloadavg()[0]
    from experiments.benchmarks.search_overhead.events import events
    from experiments.benchmarks.search_overhead.memory import plans
    from experiments.benchmarks.search_overhead.proposals import proposals
    from experiments.benchmarks.search_overhead.segments import segments
    from search.space import load_space

    space = load_space(SPACE)
    return {
        "load": load,
        "cpus": os.cpu_count(),
        "parameters": len(space.parameters),
        "proposals": {
            str(n): proposals(space, n, options.repetitions) for n in options.sizes
        },
        "events": {str(n): events(space, n, options.work) for n in options.sizes},
        "memory": plans(space),
        "segments": segments(space, options.segments, options.work),
    }


def manifest() -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "commit": git("rev-parse", "HEAD"),
        "changed_files": git("status", "--porcelain", "--untracked-files=no"),
        "space": SPACE,
        "seeds": {"history": 7, "memory": 7, "optuna": 1},
        "hardware": {"processor": processor(), "cpus": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }


if __name__ == "__main__":
    main()
