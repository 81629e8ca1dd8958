"""Writes what the searches found: report, plot and every run's regrets."""

import csv
from collections.abc import Sequence
from pathlib import Path

from experiments.benchmarks.search_quality import tables
from experiments.benchmarks.search_quality.plots import plot_regret
from experiments.benchmarks.search_quality.results import Results

MARKS = (10, 20, 50)
"""Budgets of the tables, in full trainings."""
PLOT = "regret.svg"


def write_report(results: Results, folder: Path, *, trainings: int = 50) -> None:
    """Write `report.md`, the plot and `runs.csv` into `folder`.

    Args:
        results: of all searches that were run.
        folder: of the report.
        trainings: budget of the searches; larger marks are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marks = tuple(mark for mark in MARKS if mark <= trainings) or (trainings,)
    plot_regret(results, folder / PLOT)
    text = "\n\n".join(_sections(results, marks)) + "\n"
    (folder / "report.md").write_text(text, encoding="utf-8")
    write_runs(results, folder / "runs.csv", marks)


def _sections(results: Results, marks: Sequence[int]) -> list[str]:
    return [
        "# Search quality on the LCBench surrogate",
        _INTRODUCTION,
        "## Measures beside floor and aim",
        tables.targets(results, marks),
        "## Mean normalised regret, cold, one worker",
        tables.cold(results, marks),
        f"![Mean regret against budget]({PLOT})",
        f"## The engine against each other search after {marks[-1]} trainings",
        tables.comparisons(results, marks[-1]),
        f"## The same after {marks[max(0, len(marks) - 2)]} trainings",
        tables.comparisons(results, marks[max(0, len(marks) - 2)]),
        f"## Regret per task after {marks[-1]} trainings",
        tables.per_task(results, marks[-1]),
        "## Workers",
        tables.workers(results, marks),
        "## Failing regions",
        tables.failing(results, marks[-1]),
    ]


def write_runs(results: Results, path: Path, marks: Sequence[int]) -> None:
    """Write one row per search."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = ["variant", "task", "seed", *(f"regret@{mark}" for mark in marks)]
        writer.writerow([*columns, "proposals", "failing_after_30", "seconds"])
        for variant, blocks in sorted(results.by_variant.items()):
            for (task, seed), result in sorted(blocks.items()):
                late = result.late_failures
                regrets = [f"{result.regrets[mark - 1]:.5f}" for mark in marks]
                share = "" if late is None else f"{late:.4f}"
                counts = [len(result.failed), share, result.seconds]
                writer.writerow([variant, task, seed, *regrets, *counts])


_INTRODUCTION = """\
Normalised regret of the best value so far (0: best known when the constants were made,
1: median of random configurations), mean over the tasks of the mean over their seeds.
Budgets are in full trainings of 52 epochs, whatever a search spends them on; a
training that fails costs one epoch. Intervals are 95 %, from 4,000 resamplings of the
seeds within each task (none where a task has one seed). p is Wilcoxon's signed-rank
test, two-sided, over task × seed and over the means of the tasks, each corrected for
the number of rows (Holm). A task counts as won or lost where the same test over its
seeds says so at 5 % (uncorrected), else as a tie; this needs six seeds at least."""
