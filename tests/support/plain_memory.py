"""Memory planned the plain way: from the amounts of a whole epoch, each time anew."""

from collections.abc import Iterator
from dataclasses import replace

from sitenet_core.config import TrialConfig
from sitenet_core.data.batches import epoch_order, plan_batches
from sitenet_core.families import MicroBatch, get_family
from sitenet_core.training.forecast import Sizes, amounts
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
        found = amounts(config, sizes, None, joined)
        peak = round(model.peak_bytes(found.kept_bytes, found.parameters))
        used = in_use(tried, largest, at_once)
        plan = MemoryPlan(candidate, used, smallest, peak, memory_bytes)
        if plan.fits or smallest:
            return plan
    raise AssertionError


def largest_batch(config: TrialConfig, sizes: Sizes, unit: str) -> int:
    """Return how much of `unit` the largest declared batch of a first epoch has."""
    filled, budget = get_family(config.family).batch_budget(config)
    order = epoch_order(len(sizes[unit]), config.training.seed, 0)
    taken = sizes[unit] ** 0 if filled == "crystals" else sizes[filled]
    batches = plan_batches(taken, budget, order=order)
    return max(int(sizes[unit][batch].sum()) for batch in batches)


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
