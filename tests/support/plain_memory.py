"""Memory planned the plain way: from the groups of a whole epoch, each time anew."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sitenet_core.config import TrialConfig
from sitenet_core.data.batches import epoch_order, plan_batches, plan_groups
from sitenet_core.families import MicroBatch, get_family
from sitenet_core.training.crystals import Sizes
from sitenet_core.training.forecast import n_parameters
from sitenet_core.training.sizing import MemoryModel, MemoryPlan
from sitenet_core.training.splitting import in_use, is_smallest, smallest_budget


def plain_plan(
    config: TrialConfig,
    sizes: Sizes,
    model: MemoryModel,
    memory_bytes: int | None,
    most: int | None = None,
) -> MemoryPlan:
    """Return what `plan_memory` has to return."""
    family = get_family(config.family)
    micro = family.micro_batch(config, memory_bytes if model.device == "gpu" else None)
    largest = largest_batch(config, sizes, micro.unit)
    at_once = model.threads if model.device == "cpu" else 1
    budget = micro.budget if most is None else min(micro.budget, most)
    least = smallest_budget(micro, sizes[micro.unit])
    for candidate in _candidates(budget, largest, least):
        tried = replace(micro, budget=candidate)
        smallest = is_smallest(tried, sizes[micro.unit])
        joined = _together(model, tried, smallest=smallest)
        kept = kept_bytes(config, sizes, joined)
        peak = round(model.peak_bytes(kept, n_parameters(family, config)))
        used = in_use(tried, largest, at_once)
        plan = MemoryPlan(candidate, used, smallest, peak, memory_bytes)
        if plan.fits or smallest:
            return plan
    raise AssertionError


def largest_batch(config: TrialConfig, sizes: Sizes, unit: str) -> int:
    """Return how much of `unit` the largest declared batch of a first epoch has."""
    batches = declared_batches(config, sizes)
    return max(int(sizes[unit][batch].sum()) for batch in batches)


def declared_batches(config: TrialConfig, sizes: Sizes) -> list[np.ndarray]:
    """Return the crystals of each declared batch of a first epoch."""
    filled, budget = get_family(config.family).batch_budget(config)
    ones = np.ones(len(sizes["n_sites"]), dtype=np.int64)
    order = epoch_order(len(ones), config.training.seed, 0)
    taken = ones if filled == "crystals" else sizes[filled]
    return plan_batches(taken, budget, order=order)


def kept_bytes(config: TrialConfig, sizes: Sizes, micro: MicroBatch) -> float:
    """Return the bytes of the group that keeps the most."""
    family, weights = get_family(config.family), sizes[micro.unit]
    whole, parts = (
        family.cost(sizes, config, in_parts=in_parts) for in_parts in (False, True)
    )
    kept = []
    for batch in declared_batches(config, sizes):
        for group in plan_groups(
            weights, micro.budget if micro.splits else None, batch
        ):
            cost = parts if weights[group].sum() > micro.budget else whole
            kept.append(float(cost.bytes[group].sum()) + cost.group_bytes)
    return max(kept)


def _candidates(budget: int, largest: int, least: int) -> Iterator[int]:
    yield budget
    budget = min(budget, max(largest, least + 1))
    while budget > least:
        budget = max(least, budget // 2)
        yield budget


def _together(model: MemoryModel, micro: MicroBatch, *, smallest: bool) -> MicroBatch:
    apart = smallest or model.device == "gpu" or model.groups_counted
    return replace(
        micro,
        budget=micro.budget * (model.threads if micro.splits and not apart else 1),
    )
