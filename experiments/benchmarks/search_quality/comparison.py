"""Comparisons of searches on the same tasks and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from experiments.benchmarks.search_quality.problem import FloatArray

Block = tuple[str, int]
"""Task and seed: what both sides of a comparison share."""
Blocks = Mapping[Block, float]
"""Block → regret."""
N_RESAMPLES = 4000
LEVEL = 0.05
T = TypeVar("T")
_SAME = 1e-9
"""Regrets closer than this are equal."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; NaN where one seed leaves it unknown."""

    value: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return not np.isnan(self.low)


@dataclass(frozen=True)
class Counts:
    """How often the first of two was better, equal, or worse."""

    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return f"{self.wins}/{self.ties}/{self.losses}"


@dataclass(frozen=True)
class Comparison:
    """Ours against one other, over the blocks that both have."""

    n_blocks: int
    difference: Interval
    """Mean of ours − other over the blocks; negative is better."""
    p_blocks: float
    """Wilcoxon's signed-rank test, two-sided, over task × seed."""
    p_tasks: float
    """The same over the means of the tasks."""
    blocks: Counts
    tasks: Counts
    """A task is won or lost where the test over its seeds says so at 5 %."""


def compare(ours: Blocks, other: Blocks) -> Comparison | None:
    """Return the paired comparison; None if the two share no block."""
    shared = sorted(ours.keys() & other.keys())
    if not shared:
        return None
    differences = {block: ours[block] - other[block] for block in shared}
    by_task = grouped(differences)
    means = [float(np.mean(values)) for values in by_task.values()]
    return Comparison(
        n_blocks=len(shared),
        difference=mean_interval(differences),
        p_blocks=signed_rank(list(differences.values())),
        p_tasks=signed_rank(means),
        blocks=_counts([_sign(d) for d in differences.values()]),
        tasks=_counts([task_sign(values) for values in by_task.values()]),
    )


def task_sign(differences: Sequence[float]) -> int:
    """Return −1 where ours is significantly better on a task, 1 worse, else 0."""
    significant = signed_rank(differences) < LEVEL
    return _sign(float(np.mean(differences))) if significant else 0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979, step-down)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = running
    return corrected


def signed_rank(differences: Sequence[float]) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; 1 if all are zero."""
    from scipy.stats import wilcoxon

    kept = [d for d in differences if abs(d) > _SAME]
    if not kept:
        return 1.0
    return float(wilcoxon(kept).pvalue)


def mean_interval(blocks: Blocks) -> Interval:
    """Return the mean over tasks of the mean over seeds, seeds resampled per task."""
    rows = [np.array(values) for values in grouped(blocks).values()]
    means = np.mean([row.mean() for row in rows])
    return _interval(float(means), _resampled_means(rows))


def relative_interval(changed: Blocks, base: Blocks) -> Interval:
    """Return mean(changed)/mean(base) − 1 over the shared blocks, resampled in pairs.

    Raises:
        ValueError: if the two share no block.
    """
    shared = sorted(changed.keys() & base.keys())
    if not shared:
        raise ValueError("the two have no task and seed in common")
    pairs = grouped({block: (changed[block], base[block]) for block in shared})
    rows = [np.array(values) for values in pairs.values()]
    value = np.mean([row.mean(axis=0) for row in rows], axis=0)
    resampled = _resampled_means(rows)
    ratio = resampled[:, 0] / resampled[:, 1] - 1
    return _interval(float(value[0] / value[1] - 1), ratio)


def grouped(blocks: Mapping[Block, T]) -> dict[str, list[T]]:
    """Return task → what its seeds have, in order of seed."""
    found: dict[str, list[T]] = {}
    for (task, _), value in sorted(blocks.items(), key=lambda item: item[0]):
        found.setdefault(task, []).append(value)
    return found


def _resampled_means(rows: Sequence[FloatArray]) -> FloatArray:
    """Return bootstrap means over tasks of means over seeds, (N_RESAMPLES, ...).

    NaN if a task has one seed: resampling it would feign certainty.
    """
    if any(len(row) == 1 for row in rows):
        return np.full((N_RESAMPLES, *rows[0].shape[1:]), np.nan)
    generator = np.random.default_rng(0)
    total = 0.0
    for row in rows:
        picks = generator.integers(len(row), size=(N_RESAMPLES, len(row)))
        total = total + row[picks].mean(axis=1)
    return np.asarray(total / len(rows))


def _interval(value: float, resampled: FloatArray) -> Interval:
    low, high = np.quantile(resampled, [LEVEL / 2, 1 - LEVEL / 2])
    return Interval(value, float(low), float(high))


def _sign(difference: float) -> int:
    if abs(difference) <= _SAME:
        return 0
    return -1 if difference < 0 else 1


def _counts(signs: Sequence[int]) -> Counts:
    return Counts(signs.count(-1), signs.count(0), signs.count(1))
