"""How far a declared batch can be divided, and what a training that failed was at."""

import numpy as np

from sitenet_core.config import TrialConfig
from sitenet_core.families.protocol import MicroBatch, ModelFamily
from sitenet_core.training.crystals import Crystals
from sitenet_core.training.forecast import store_sizes
from sitenet_core.training.options import TrainingData
from sitenet_core.training.workers import shared_budget


def smallest_budget(micro: MicroBatch, weights: np.ndarray) -> int:
    """Return the largest budget below which nothing takes less memory.

    With it every group is one crystal, unless batch norm keeps the batch whole, and
    the network works within a crystal on as little as it can.

    Args:
        micro: how batches are divided.
        weights: (n_crystals,) what each crystal uses of the budget.
    """
    if not micro.splits or len(weights) < 2:
        return micro.smallest
    of_two = int(np.partition(weights, 1)[:2].sum())
    return max(1, min(micro.smallest, of_two - 1))


def is_smallest(micro: MicroBatch, weights: np.ndarray) -> bool:
    """Return whether no smaller budget than that of `micro` takes less memory."""
    return micro.budget <= smallest_budget(micro, weights)


def split_in_use(
    family: ModelFamily,
    config: TrialConfig,
    data: TrainingData,
    micro: MicroBatch,
    at_once: int = 1,
) -> tuple[int, bool]:
    """Return the most that goes through the network at once, and if it is the least.

    It is the budget, or what a group has of the largest declared batch of a first
    epoch if that is less: a budget between the two changes nothing.

    Args:
        family: of the model.
        config: what is trained.
        data: what it is trained on.
        micro: how batches are divided.
        at_once: groups that are worked on at the same time.
    """
    sets = [ids for ids in (data.training_ids, data.validation_ids) if ids]
    rows = [data.store.index_of(ids) for ids in sets]
    every = store_sizes(family, data.store)
    crystals = [Crystals({k: v[of_set] for k, v in every.items()}) for of_set in rows]
    largest = max(c.batching(family, config, micro.unit).largest for c in crystals)
    smallest = is_smallest(micro, every[micro.unit][np.concatenate(rows)])
    return in_use(micro, largest, at_once), smallest


def in_use(micro: MicroBatch, largest: int, at_once: int) -> int:
    """Return how much a group has of a batch of `largest`, in the budget's unit."""
    if not micro.splits:
        return min(micro.budget, largest)
    return min(micro.budget, shared_budget(largest, largest, at_once) or largest)
