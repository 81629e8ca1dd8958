"""What an epoch of a configuration takes, before anything is trained."""

from dataclasses import dataclass

import numpy as np
import torch

from sitenet_core.config import TargetConfig, TrialConfig
from sitenet_core.data.batches import plan_groups
from sitenet_core.data.schema import CRYSTAL
from sitenet_core.data.store import PackedStore
from sitenet_core.families import ModelFamily, ModelMeta, get_family
from sitenet_core.training.calibration import Amounts, Calibration
from sitenet_core.training.crystals import Sizes, first_batches


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


def amounts(config: TrialConfig, sizes: Sizes, memory_bytes: int | None) -> Amounts:
    """Return what one epoch does and keeps: its first, as others are much the same.

    Args:
        config: what is trained.
        sizes: of the crystals.
        memory_bytes: free memory of a GPU, which decides the groups; None is a CPU.
    """
    family = get_family(config.family)
    micro = family.micro_batch(config, memory_bytes)
    whole, parts = (
        family.cost(sizes, config, in_parts=in_parts) for in_parts in (False, True)
    )
    batches = first_batches(sizes, *family.batch_budget(config), config.training.seed)
    weights, budget = sizes[micro.unit], micro.budget if micro.splits else None
    groups = [g for batch in batches for g in plan_groups(weights, budget, batch)]
    chosen = [parts if weights[g].sum() > micro.budget else whole for g in groups]
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


def n_parameters(family: ModelFamily, config: TrialConfig) -> int:
    """Return how many numbers a network of `config` learns."""
    target = TargetConfig(column="y", name="y", unit="")
    # Fresh weights must not take from the random numbers of whoever asks.
    with torch.random.fork_rng(devices=()):
        network = family.build(config, ModelMeta(target))
    return sum(p.numel() for p in network.parameters())
