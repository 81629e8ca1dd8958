"""Stored arrays of several crystals as tensors, one crystal after the other.

How many rows belong to each crystal stays on the host, so that whoever computes with
the tensors knows every size without asking the device for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sitenet_core.data.schema import CRYSTAL, ArraySpec, FeatureArrays


@dataclass(frozen=True, eq=False)
class Ragged:
    """Arrays of crystals, each concatenated along its scope, all on one device."""

    arrays: Mapping[str, Tensor]
    """(n_rows of the scope, ...) by name, in the stored type or a wider one."""
    sizes: Mapping[str, np.ndarray]
    """(n_crystals,) int64 on the host: rows by ragged scope, and the values of crystal-
    scope counts by their name."""
    n_crystals: int
    device: torch.device

    def to(self, device: torch.device | str) -> "Ragged":
        """Return the arrays on `device`, without waiting for the copy."""
        target = torch.device(device)
        if target == self.device:
            return self
        moved = {name: _sent(array, target) for name, array in self.arrays.items()}
        return Ragged(moved, self.sizes, self.n_crystals, target)


def pack_records(
    records: Sequence[FeatureArrays], schema: Iterable[ArraySpec], names: Iterable[str]
) -> Ragged:
    """Return the arrays `names` of `records` on the host, copied.

    Args:
        records: one mapping per crystal.
        schema: declares each of `names`.
        names: ragged arrays, and integers of crystal scope, which become sizes.
    """
    declared = {spec.name: spec for spec in schema}
    arrays: dict[str, Tensor] = {}
    sizes: dict[str, np.ndarray] = {}
    for name in names:
        scope = declared[name].scope
        parts = [record[name] for record in records]
        if scope == CRYSTAL:
            sizes[name] = np.array([int(part.item()) for part in parts], np.int64)
            continue
        if scope not in sizes:
            sizes[scope] = np.array([len(part) for part in parts], np.int64)
        if parts:
            arrays[name] = torch.from_numpy(np.concatenate(parts))
    return Ragged(arrays, sizes, len(records), torch.device("cpu"))


def upload(device: torch.device, *arrays: np.ndarray) -> list[Tensor]:
    """Return int64 arrays on `device`, sent in one copy that is not waited for."""
    joined = torch.from_numpy(np.concatenate(arrays))
    return list(torch.split(_sent(joined, device), [len(array) for array in arrays]))


def _sent(array: Tensor, device: torch.device) -> Tensor:
    # Only a copy from pinned memory lets the host go on at once.
    if device.type == "cuda":
        return array.pin_memory().to(device, non_blocking=True)
    return array.to(device)
