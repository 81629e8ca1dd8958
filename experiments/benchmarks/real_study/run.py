"""Compares searches on real crystals: whole studies, run as a user runs them.

    .venv/bin/python -m experiments.benchmarks.real_study.run --work FOLDER [--seeds 6]

`SITENET_DATA` names the folder of `perovskites.parquet` (`../shared/data`).

A study is 432 epochs, sixteen full trainings of 27, of Site-Net on 400 perovskites of
five atoms; 100 more validate. A seed decides the split and the search, and is shared by
the algorithms. A run that is interrupted goes on where it was.
"""

import argparse
import os
import platform
from pathlib import Path
from typing import Any

from experiments.benchmarks.real_study.report import Curves, report
from experiments.benchmarks.real_study.studies import ALGORITHMS, Search
from experiments.record import git, processor, write_json
from sitenet_core.config import session_versions

_PACKAGES = ("sitenet-search", "torch", "ray", "pytorch-lightning", "numpy", "scipy")


def main() -> None:
    """Run the studies that are not complete yet, then write the report."""
    options = _options()
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    for seed in range(options.seeds):
        for name in ALGORITHMS:
            search = Search(name, seed, options.work.resolve())
            curve = search.best_so_far()
            found.setdefault(name, {})[seed] = curve
            print(f"{name} seed {seed}: {curve[-1]:.4f} eV", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.md").write_text(report(found), encoding="utf-8")
    write_json(_manifest(options, found), options.out / "manifest.json")


def _manifest(options: argparse.Namespace, found: Curves) -> dict[str, Any]:
    return {
        "commit": git("rev-parse", "HEAD"),
        "seeds": options.seeds,
        "final_eV": {
            name: {str(seed): curve[-1] for seed, curve in curves.items()}
            for name, curves in found.items()
        },
        "versions": session_versions(_PACKAGES),
        "hardware": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare searches on real crystals.")
    parser.add_argument("--work", type=Path, required=True, help="folder of studies")
    default = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=default, help="the report's folder")
    parser.add_argument("--seeds", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    main()
