"""Where the arrays of a training's crystals lie, and how a few of them are gathered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sitenet_core.data.ragged import Ragged, pack_records, upload
from sitenet_core.data.schema import CRYSTAL, ArraySpec, FeatureArrays
from sitenet_core.data.store import PackedStore


class CrystalSource(Protocol):
    """Crystals of a store, to be gathered by row."""

    def gather(self, rows: np.ndarray) -> Ragged:
        """Return the crystals `rows`, (n,) int64, in that order."""
        ...


class Records(Protocol):
    """What keeps crystals: a packed store, or a stand-in for one."""

    def record(self, index: int) -> FeatureArrays:
        """Return the arrays of one crystal."""
        ...


@dataclass(frozen=True)
class MappedCrystals:
    """Crystals in the files of a store, which the processes of a machine share.

    Only what is gathered is copied; it is sent to `device` in its stored form, a third
    of the size of a batch.
    """

    store: Records
    schema: Sequence[ArraySpec]
    names: Sequence[str]
    device: torch.device

    def gather(self, rows: np.ndarray) -> Ragged:
        """Return the crystals `rows` on the device."""
        records = [self.store.record(int(row)) for row in rows]
        return pack_records(records, self.schema, self.names).to(self.device)


@dataclass(frozen=True)
class ResidentCrystals:
    """All crystals of a store on a device; gathering is index arithmetic there."""

    arrays: Mapping[str, Tensor]
    scopes: Mapping[str, str]
    """Scope of each array."""
    sizes: Mapping[str, np.ndarray]
    """(n_crystals,) as in `Ragged`, of all crystals."""
    offsets: Mapping[str, np.ndarray]
    """(n_crystals,) first row of each crystal, by scope."""
    device: torch.device

    @classmethod
    def load(
        cls,
        store: PackedStore,
        schema: Sequence[ArraySpec],
        names: Sequence[str],
        device: torch.device,
    ) -> "ResidentCrystals":
        """Return the arrays `names` of all crystals on `device`."""
        scopes = {spec.name: spec.scope for spec in schema if spec.name in names}
        ragged = {name: scope for name, scope in scopes.items() if scope != CRYSTAL}
        sizes = {
            name: np.asarray(store.column(name), np.int64)
            for name in scopes.keys() - ragged.keys()
        }
        sizes |= {scope: store.sizes(scope) for scope in set(ragged.values())}
        return cls(
            arrays={name: _resident(store.array(name), device) for name in ragged},
            scopes=ragged,
            sizes=sizes,
            offsets={s: np.cumsum(sizes[s]) - sizes[s] for s in set(ragged.values())},
            device=device,
        )

    def gather(self, rows: np.ndarray) -> Ragged:
        """Return the crystals `rows`, with the values that `MappedCrystals` gives."""
        sizes = {name: values[rows] for name, values in self.sizes.items()}
        index = {scope: self._index(scope, rows) for scope in self.offsets}
        arrays = {
            name: array.index_select(0, index[self.scopes[name]])
            for name, array in self.arrays.items()
        }
        return Ragged(arrays, sizes, len(rows), self.device)

    def _index(self, scope: str, rows: np.ndarray) -> Tensor:
        """Return the positions of the rows of each crystal, one after the other."""
        lengths = self.sizes[scope][rows]
        total = int(lengths.sum())
        before = np.cumsum(lengths) - lengths
        repeats, shift = upload(
            self.device, lengths, self.offsets[scope][rows] - before
        )
        owner = torch.repeat_interleave(repeats, output_size=total)
        return torch.arange(total, device=self.device) + shift.index_select(0, owner)


def resident_bytes(store: PackedStore, names: Sequence[str]) -> int:
    """Return the memory that `ResidentCrystals` of a store takes."""
    arrays = [store.array(name) for name in names]
    return sum(a.size * (4 if a.dtype == np.uint16 else a.itemsize) for a in arrays)


def _resident(array: np.ndarray, device: torch.device) -> Tensor:
    # The files are mapped read-only, which torch does not take.
    moved = torch.from_numpy(array.copy()).to(device)
    if moved.dtype is not torch.uint16:
        return moved
    # torch indexes no unsigned type of two bytes.
    return moved.view(torch.int16).to(torch.int32).bitwise_and_(0xFFFF)
