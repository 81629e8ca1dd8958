"""Measures how often a promotion names the right winner: one command, with a report.

    .venv/bin/python -m experiments.benchmarks.winner_noise.run --work FOLDER \
[--seeds 20] [--searchers hyperopt random]

Needs `pip install -e .[benchmark]`. Each study is kept as a small file under `--work`
as soon as it is done, so that a run that is interrupted goes on where it was; a study
of other code of the searchers is searched anew. The choices are made anew each time.
"""

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.benchmarks.winner_noise.choices import (
    name_winner,
    with_search_value,
)
from experiments.benchmarks.winner_noise.report import (
    DEFAULT,
    RULES,
    Found,
    write_report,
)
from experiments.benchmarks.winner_noise.studies import (
    N_TRIALS,
    Job,
    Search,
    load_search,
    save_search,
    search,
)
from experiments.benchmarks.winner_noise.tables import (
    PACKAGE,
    Table,
    digest,
    load_table,
    task_names,
)
from experiments.record import git, processor, write_json

_SEARCHERS = ("gaussian", "hyperopt", "random")
_BLOCK = 10
"""Seeds that one table is searched with before the next table is loaded."""


def main() -> None:
    """Search what has not been searched yet, name the winners, write the report."""
    options = _options()
    tables = options.tables or task_names()
    if not options.report_only:
        jobs = [
            Job(table, searcher, seed)
            for first in range(0, options.seeds, _BLOCK)
            for searcher in options.searchers
            for table in tables
            for seed in range(first, min(first + _BLOCK, options.seeds))
        ]
        search_all(jobs, options.work)
    found = {
        searcher: outcomes(searcher, tables, options.seeds, options.work)
        for searcher in options.searchers
    }
    write_report(found, options.out)
    write_json(found, options.work / "results.json")
    write_json(manifest(found, tables), options.out / "manifest.json")


def search_all(jobs: list[Job], folder: Path) -> None:
    """Run the studies that are not in the cache."""
    due = [job for job in jobs if load_search(job, folder) is None]
    print(f"{len(jobs) - len(due)} of {len(jobs)} studies are there", flush=True)
    for count, job in enumerate(due, start=1):
        save_search(search(load_table(job.table), job), job, folder)
        print(f"{count}/{len(due)} {job.file}", flush=True)


def outcomes(
    searcher: str, tables: list[str], seeds: int, folder: Path
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return `table/seed` → rule → outcome, of the studies that are in the cache."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in tables:
        for seed in range(seeds):
            study = load_search(Job(name, searcher, seed), folder)
            if study is not None:
                found[f"{name}/{seed}"] = _outcomes(load_table(name), study)
    return found


def _outcomes(table: Table, study: Search) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        named = name_winner(table, study, rule)
        optimism = named.choice.optimism
        found[rule.name] = {
            "within": named.within,
            "within_error": named.within_error,
            "unseen_seeds": max(0, table.n_seeds - 1 - rule.seeds),
            "by_cost": named.choice.decided_by == "cost",
            "true_optimism": named.true_optimism,
            "expected_optimism": optimism and optimism.expected,
        }
    found[f"{DEFAULT.name} with search"] = {
        "within": with_search_value(table, study, DEFAULT),
        "within_error": None,
        "by_cost": None,
    }
    return found


def manifest(found: Found, tables: list[str]) -> dict[str, Any]:
    """Return what decides the numbers, and what they were measured on."""
    return {
        "commit": git("rev-parse", "HEAD"),
        "changed_since": git("status", "--porcelain", "--", "search") != "",
        "trials": N_TRIALS,
        "seed": "study k has seed k, its trials seed k of the table (cyclically)",
        "studies": {searcher: len(studies) for searcher, studies in found.items()},
        "default": {"top_k": DEFAULT.top_k, "seeds": DEFAULT.seeds},
        "data": {"package": PACKAGE, "sha256": {name: digest(name) for name in tables}},
        "versions": {
            "python": platform.python_version(),
            **{p: version(p) for p in ("hyperopt", "numpy", "scipy", PACKAGE)},
        },
        "hardware": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Is the named winner the winner?")
    parser.add_argument("--work", type=Path, required=True, help="folder of the cache")
    default = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=default, help="the report's folder")
    parser.add_argument("--seeds", type=int, default=20, help="studies per table")
    parser.add_argument("--searchers", nargs="+", default=list(_SEARCHERS))
    parser.add_argument("--tables", nargs="+", choices=task_names())
    parser.add_argument(
        "--report-only", action="store_true", help="search nothing, write the report"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
