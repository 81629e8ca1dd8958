"""Where a training keeps the crystals of its store, and how many it works on."""

from dataclasses import replace

import torch

from sitenet_core.config import TrialConfig
from sitenet_core.data.gathering import (
    CrystalSource,
    MappedCrystals,
    ResidentCrystals,
    resident_bytes,
)
from sitenet_core.data.schema import CRYSTAL
from sitenet_core.data.store import PackedStore
from sitenet_core.errors import ConfigError
from sitenet_core.families.protocol import MicroBatch, ModelFamily
from sitenet_core.training.machine import Device

_RESIDENT_SHARE = 0.25
"""Of a GPU's free memory that the arrays of a store may take."""


def torch_device(device: Device) -> torch.device:
    """Return torch's name of a device."""
    return torch.device("cuda" if device == "gpu" else "cpu")


def free_memory(device: Device) -> int | None:
    """Return the free bytes of a GPU; None for a CPU."""
    return torch.cuda.mem_get_info()[0] if device == "gpu" else None


def group_size(
    family: ModelFamily, config: TrialConfig, device: Device, wanted: int | None
) -> MicroBatch:
    """Return how batches are divided on `device`; `wanted` replaces the budget.

    Raises:
        ConfigError: if `wanted` is below 1.
    """
    micro = family.micro_batch(config, free_memory(device))
    if wanted is None:
        return micro
    if wanted < 1:
        raise ConfigError(f"micro_batch is {wanted}; a group takes at least 1")
    return replace(micro, budget=wanted)


def crystal_source(
    family: ModelFamily, store: PackedStore, device: Device
) -> CrystalSource:
    """Return the arrays of `store` on a GPU with room for them, else in its files."""
    where = torch_device(device)
    free = free_memory(device)
    ragged = [s.name for s in family.schema if s.scope != CRYSTAL]
    large = [name for name in family.inputs if name in ragged]
    if free is None or resident_bytes(store, large) > _RESIDENT_SHARE * free:
        return MappedCrystals(store, family.schema, family.inputs, where)
    return ResidentCrystals.load(store, family.schema, family.inputs, where)
