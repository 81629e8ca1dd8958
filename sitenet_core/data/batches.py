"""Which crystals go into which batch of an epoch."""

import numpy as np


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order, (n,) int64, in which `epoch` visits `n` crystals.

    It depends on the three arguments alone, so a training that is resumed in any
    epoch sees the order that an uninterrupted one would have seen.
    """
    return np.random.default_rng([seed, epoch]).permutation(n)


def plan_batches(
    sizes: np.ndarray, budget: int, *, order: np.ndarray
) -> list[np.ndarray]:
    """Return the crystals of each batch, filled greedily in `order` up to `budget`.

    Every entry of `order` is in exactly one batch, in the same sequence. A crystal
    that alone exceeds the budget is a batch of its own, never dropped.

    Args:
        sizes: (n,) what each crystal uses of the budget: its unique sites, or ones
            where a batch is a number of crystals.
        budget: Largest sum of sizes in a batch, at least 1.
        order: Indices into `sizes`.

    Raises:
        ValueError: if the budget is below 1.
    """
    if budget < 1:
        raise ValueError(f"{budget=}: a batch holds at least 1")
    starts: list[int] = []
    filled = 0
    for position, size in enumerate(sizes[order].tolist()):
        if not starts or filled + size > budget:
            starts.append(position)
            filled = 0
        filled += size
    return np.split(order, starts[1:]) if starts else []


def plan_groups(
    weights: np.ndarray, budget: int | None, positions: np.ndarray
) -> list[np.ndarray]:
    """Return the groups in which the crystals of one batch go through a network.

    Crystals of similar size come together: the smallest first, filled up to `budget`.
    One that alone exceeds it is a group of its own.

    Args:
        weights: (n,) what each crystal uses of the budget.
        budget: Largest sum of weights in a group, at least 1; None is one group, in
            the order given.
        positions: Indices into `weights`, the crystals of the batch.

    Raises:
        ValueError: if the budget is below 1.
    """
    if budget is None:
        return [positions]
    order = positions[np.argsort(weights[positions], kind="stable")]
    return plan_batches(weights, budget, order=order)
