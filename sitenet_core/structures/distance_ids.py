"""Which distances of a structure are the same: one id for each group of them.

The rule looks at the sorted distances alone, so it does not depend on how the structure
is written down. Neighbours in that order are in one group if they are no further apart
than a threshold. The threshold is the tolerance; inside a group that is wider than the
tolerance it is halved, and again, until every group fits. So no group is wider than the
tolerance, nothing chains, and groups end at the widest gaps that allow it: distances
that symmetry makes equal stay together although they differ by noise.
"""

from dataclasses import dataclass

import numpy as np

HALVINGS = 16
"""Thresholds tried; in what is still too wide only equal numbers are the same."""


@dataclass(frozen=True)
class DistanceIds:
    """Ids of distances, in ascending order of distance, and what each stands for."""

    ids: np.ndarray
    """(q,) int64, the id of each distance."""
    values: np.ndarray
    """(n_ids,) Å, weighted mean of the distances of each id; ascending."""


def distance_ids(
    distances: np.ndarray, weights: np.ndarray, tolerance: float
) -> DistanceIds:
    """Return ids of `distances` (q,), Å, such that none spans more than `tolerance`.

    Args:
        distances: (q,) Å, in any order.
        weights: (q,) how often each counts in the mean.
        tolerance: Å.
    """
    if len(distances) == 0:
        return DistanceIds(np.empty(0, dtype=np.int64), np.empty(0))
    order = np.argsort(distances)
    ascending = distances[order]
    begins = _begins(ascending, tolerance)
    ids = np.empty(len(distances), dtype=np.int64)
    ids[order] = np.cumsum(begins) - 1
    starts = np.flatnonzero(begins)
    weight = weights[order]
    sums = np.add.reduceat(weight * ascending, starts)
    means = sums / np.add.reduceat(weight, starts)
    # rounding must not lead out of the group
    lasts = ascending[_ends(starts, len(ascending)) - 1]
    return DistanceIds(ids, np.clip(means, ascending[starts], lasts))


def _begins(ascending: np.ndarray, tolerance: float) -> np.ndarray:
    """Return (q,) whether each of the sorted distances begins a group."""
    gaps = np.diff(ascending, prepend=-np.inf)
    begins = gaps > tolerance
    for halvings in range(1, HALVINGS + 1):
        starts = np.flatnonzero(begins)
        ends = _ends(starts, len(ascending))
        wide = ascending[ends - 1] - ascending[starts] > tolerance
        if not wide.any():
            break
        threshold = tolerance / 2**halvings if halvings < HALVINGS else 0.0
        begins |= np.repeat(wide, ends - starts) & (gaps > threshold)
    return begins


def _ends(starts: np.ndarray, count: int) -> np.ndarray:
    """Return where each of the groups that begin at `starts` ends."""
    return np.append(starts[1:], count)
