"""How far a declared batch can be divided, and what a training that failed was at."""

import numpy as np

from sitenet_core.config import TrialConfig
from sitenet_core.data.batches import epoch_order, plan_batches
from sitenet_core.families.protocol import MicroBatch, ModelFamily
from sitenet_core.training.loader import batch_sizes
from sitenet_core.training.options import TrainingData


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
    family: ModelFamily, config: TrialConfig, data: TrainingData, micro: MicroBatch
) -> tuple[int, bool]:
    """Return the most that goes through the network at once, and if it is the least.

    It is the budget, or the largest declared batch of a first epoch if that is less: a
    budget between the two changes nothing.
    """
    ids = (*data.training_ids, *data.validation_ids)
    rows = data.store.index_of(ids)
    weights = np.asarray(data.store.column(micro.unit), dtype=np.int64).ravel()[rows]
    sizes, budget = batch_sizes(family, config, data.store, rows)
    order = epoch_order(len(rows), config.training.seed, 0)
    totals = [int(weights[b].sum()) for b in plan_batches(sizes, budget, order=order)]
    return min(micro.budget, max(totals)), is_smallest(micro, weights)
