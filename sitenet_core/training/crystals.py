"""The batches and groups that crystals make, known by their sizes alone.

What does not depend on a configuration is worked out once: a search asks for the same
crystals before each of its segments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from sitenet_core.config import TrialConfig
from sitenet_core.data.batches import epoch_order, plan_batches
from sitenet_core.families.protocol import Cost, MicroBatch, ModelFamily

Sizes = Mapping[str, np.ndarray]
"""Counts of each crystal, (n_crystals,), by the name of their crystal-scope array."""
_KEPT = 8
"""Ways of making batches that are kept: a study has one, or samples what fills them."""


def taken(sizes: Sizes, filled: str) -> np.ndarray:
    """Return what each crystal takes of a batch that is filled with `filled`, (n,)."""
    if filled == "crystals":
        return np.ones_like(next(iter(sizes.values())))
    return sizes[filled]


def first_batches(
    sizes: Sizes, filled: str, budget: int, seed: int
) -> list[np.ndarray]:
    """Return the crystals of each declared batch of a first epoch."""
    takes = taken(sizes, filled)
    return plan_batches(takes, budget, order=epoch_order(len(takes), seed, 0))


@dataclass(frozen=True)
class Batching:
    """The declared batches of a first epoch, the crystals of each from small to large.

    In that order `plan_groups` fills groups.
    """

    sizes: Sizes
    """Of the crystals, batch after batch."""
    weights: np.ndarray
    """(n_crystals,) what each uses of a group."""
    starts: np.ndarray
    """(n_batches,) where each batch begins."""

    @property
    def largest(self) -> int:
        """What the largest batch would use as one group."""
        return int(np.add.reduceat(self.weights, self.starts).max())

    def kept_bytes(self, micro: MicroBatch, whole: Cost, parts: Cost) -> float:
        """Return what the group keeps that keeps the most, as `forecast.amounts` does.

        Args:
            micro: how batches are divided.
            whole: cost of the crystals, in the order of `sizes`.
            parts: the same for groups above the budget.
        """
        starts = self._group_starts(micro.budget) if micro.splits else self.starts
        above = np.add.reduceat(self.weights, starts) > micro.budget
        # Counted bytes are whole numbers, or some 4096ths: in whichever order they
        # are added up, no bit of the sum is lost.
        kept = (
            np.add.reduceat(c.bytes, starts) + c.group_bytes for c in (parts, whole)
        )
        return float(np.where(above, *kept).max())

    def _group_starts(self, budget: int) -> np.ndarray:
        """Return where each group begins; of all batches one group at a time is filled.

        A group ends where the total would exceed the budget, or has one crystal.
        """
        starts, ends = self.starts, np.append(self.starts[1:], len(self.weights))
        found = []
        while len(starts):
            found.append(starts)
            full = self._totals[starts] + budget
            after = np.searchsorted(self._totals, full, side="right") - 1
            starts = np.maximum(after, starts + 1)
            unfinished = starts < ends
            starts, ends = starts[unfinished], ends[unfinished]
        return np.sort(np.concatenate(found))

    @cached_property
    def _totals(self) -> np.ndarray:
        """(n_crystals + 1,) weights of all crystals before each."""
        return np.concatenate([[0], np.cumsum(self.weights)])


class Crystals:
    """Crystals that trainings are planned for.

    Args:
        sizes: their counts, of one crystal at least.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._batching = lru_cache(_KEPT)(self._make_batching)

    def batching(self, family: ModelFamily, config: TrialConfig, unit: str) -> Batching:
        """Return the batches of `config`, for groups that are filled with `unit`."""
        filled, budget = family.batch_budget(config)
        return self._batching(filled, budget, config.training.seed, unit)

    def _make_batching(
        self, filled: str, budget: int, seed: int, unit: str
    ) -> Batching:
        weights = self.sizes[unit]
        batches = first_batches(self.sizes, filled, budget, seed)
        rows = [batch[np.argsort(weights[batch], kind="stable")] for batch in batches]
        sizes = {name: c[np.concatenate(rows)] for name, c in self.sizes.items()}
        starts = np.cumsum([0, *map(len, rows[:-1])])
        return Batching(sizes, sizes[unit], starts)
