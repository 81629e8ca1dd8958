"""The report: regret by history, and paired differences to a search without one."""

from collections.abc import Mapping

from experiments.benchmarks.search_quality.comparison import (
    Block,
    Blocks,
    Interval,
    compare,
    mean_interval,
)
from experiments.benchmarks.search_quality.methods import ENGINES

Regrets = Mapping[str, Mapping[str, Mapping[Block, tuple[float, ...]]]]
"""Method → history → task and seed → (trainings,) regrets."""
MARKS = (5, 10, 20, 50)
_NAMES = {
    "none": "none",
    "true": "searches on 22 other tasks",
    "reversed": "the same, ranks turned round",
    "reversed-own": "a search on this task, ranks turned round",
}


def report(regrets: Regrets, trainings: int, earlier_trainings: int) -> str:
    """Return the report as Markdown.

    Args:
        regrets: of every search.
        trainings: budget of the searches; later marks are left out.
        earlier_trainings: budget of each earlier search.
    """
    marks = [mark for mark in MARKS if mark <= trainings]
    parts = [_INTRODUCTION.format(earlier=earlier_trainings)]
    for method, histories in regrets.items():
        n_seeds = len({seed for _, seed in histories["none"]})
        n_tasks = len({task for task, _ in histories["none"]})
        parts += [
            f"## {ENGINES[method].label}: {n_tasks} tasks, {n_seeds} seeds",
            _table(
                ["history", *(f"@{mark}" for mark in marks)],
                [
                    [_NAMES[name], *(_shown(_mean(found, m)) for m in marks)]
                    for name, found in histories.items()
                ],
            ),
            _DIFFERENCES,
            _differences(histories, marks),
        ]
    return "\n\n".join(parts) + "\n"


def _differences(
    histories: Mapping[str, Mapping[Block, tuple[float, ...]]], marks: list[int]
) -> str:
    rows = []
    for name, found in histories.items():
        if name == "none":
            continue
        row = [_NAMES[name]]
        for mark in marks:
            comparison = compare(_at(found, mark), _at(histories["none"], mark))
            if comparison is None:
                row.append("not run")
            else:
                shown = _shown(comparison.difference, sign="+")
                row.append(f"{shown}, {comparison.blocks}")
        rows.append(row)
    return _table(["history", *(f"@{mark}" for mark in marks)], rows)


def _at(found: Mapping[Block, tuple[float, ...]], mark: int) -> Blocks:
    return {block: regrets[mark - 1] for block, regrets in found.items()}


def _mean(found: Mapping[Block, tuple[float, ...]], mark: int) -> Interval:
    return mean_interval(_at(found, mark))


def _shown(interval: Interval, sign: str = "") -> str:
    low, high = f"{interval.low:{sign}.3f}", f"{interval.high:{sign}.3f}"
    return f"{interval.value:{sign}.3f} ({low} … {high})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_INTRODUCTION = """\
# What a history is worth, and what a misleading one costs

Searches on the tasks of the LCBench surrogate that make the table of
`search_quality`, by the engine of a study (one worker, rungs 3, 9, 27 and 52), each
with four histories: none; what `warm_start` carries over from searches of {earlier}
full trainings on the 22 other tasks; the same after every rank within every study was
turned round, so that the worst configurations pass for the best; and a search of
{earlier} full trainings on the very task, turned round in the same way, which is as
misleading as a history can be. Normalised regret of the best value so far (0: best
known, 1: median of random configurations), after so many full trainings, mean over
tasks and seeds; in parentheses 95 % intervals from resampled seeds."""

_DIFFERENCES = """\
Difference to a search without history (negative is better), and in how many of the
tasks × seeds it was better / equal / worse:"""
