"""What an epoch of a configuration takes, before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from sitenet_core.config import TargetConfig, TrialConfig
from sitenet_core.data.batches import epoch_order, plan_batches, plan_groups
from sitenet_core.data.schema import CRYSTAL
from sitenet_core.data.store import PackedStore
from sitenet_core.families import MicroBatch, ModelFamily, ModelMeta, get_family
from sitenet_core.training.calibration import Amounts, Calibration

Sizes = Mapping[str, np.ndarray]
"""Counts of each crystal, (n_crystals,), by the name of their crystal-scope array."""


@dataclass(frozen=True)
class Forecast:
    """What training one configuration is expected to take."""

    peak_bytes: int
    """Memory above what a process needs for its imports."""
    seconds_per_epoch: float
    """Of training, without validation."""
    n_parameters: int


def store_sizes(family: ModelFamily, store: PackedStore) -> dict[str, np.ndarray]:
    """Return the counts of every crystal of a store."""
    counts = [s.name for s in family.schema if s.scope == CRYSTAL and not s.shape]
    return {name: np.asarray(store.column(name), np.int64).ravel() for name in counts}


def forecast(config: TrialConfig, sizes: Sizes, calibration: Calibration) -> Forecast:
    """Return what an epoch over crystals of `sizes` takes on the calibrated machine."""
    found = amounts(config, sizes, calibration.memory_bytes)
    return Forecast(
        peak_bytes=round(calibration.peak_bytes(found)),
        seconds_per_epoch=calibration.seconds(found),
        n_parameters=found.parameters,
    )


def amounts(
    config: TrialConfig,
    sizes: Sizes,
    memory_bytes: int | None,
    micro: MicroBatch | None = None,
) -> Amounts:
    """Return what one epoch does and keeps: its first, as others are much the same.

    Args:
        config: what is trained.
        sizes: of the crystals.
        memory_bytes: free memory of a GPU; None is a CPU.
        micro: how batches are divided; None is as the family does for that memory.
    """
    family = get_family(config.family)
    micro = micro or family.micro_batch(config, memory_bytes)
    whole, parts = (
        family.cost(sizes, config, in_parts=in_parts) for in_parts in (False, True)
    )
    batches = _batches(family, config, sizes)
    groups = [g for batch in batches for g in _groups(micro, sizes, batch)]
    chosen = [parts if _above(micro, sizes, g) else whole for g in groups]
    pairs = list(zip(chosen, groups, strict=True))
    return Amounts(
        steps=len(batches),
        groups=len(groups),
        flops=sum(float(c.flops[g].sum()) for c, g in pairs),
        numbers=sum(float(c.numbers[g].sum()) for c, g in pairs),
        kept_bytes=max(
            (float(c.bytes[g].sum()) + c.group_bytes for c, g in pairs), default=0.0
        ),
        parameters=n_parameters(family, config),
    )


def _batches(
    family: ModelFamily, config: TrialConfig, sizes: Sizes
) -> list[np.ndarray]:
    unit, budget = family.batch_budget(config)
    n_crystals = len(next(iter(sizes.values())))
    ones = np.ones(n_crystals, dtype=np.int64)
    taken = ones if unit == "crystals" else sizes[unit]
    order = epoch_order(n_crystals, config.training.seed, 0)
    return plan_batches(taken, budget, order=order)


def _groups(micro: MicroBatch, sizes: Sizes, batch: np.ndarray) -> list[np.ndarray]:
    budget = micro.budget if micro.splits else None
    return plan_groups(sizes[micro.unit], budget, batch)


def _above(micro: MicroBatch, sizes: Sizes, group: np.ndarray) -> bool:
    return int(sizes[micro.unit][group].sum()) > micro.budget


def n_parameters(family: ModelFamily, config: TrialConfig) -> int:
    """Return how many numbers a network of `config` learns."""
    target = TargetConfig(column="y", name="y", unit="")
    # Fresh weights must not take from the random numbers of whoever asks.
    with torch.random.fork_rng(devices=()):
        network = family.build(config, ModelMeta(target))
    return sum(p.numel() for p in network.parameters())
