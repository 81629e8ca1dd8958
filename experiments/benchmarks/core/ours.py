"""This program's own path from a table of structures to batches and a network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.benchmarks.core.sample import POOL, TARGET, table_of
from experiments.benchmarks.core.setup import Setup
from sitenet_core.config import DataConfig, TargetConfig, TrialConfig
from sitenet_core.data import PackedStore, plan_batches
from sitenet_core.families import Batch, ModelMeta, batch_of, get_family
from sitenet_core.families.stores import StoreBuilding, open_family_store

TARGET_CONFIG = TargetConfig(column=TARGET, name="band_gap", unit="eV")


@dataclass(frozen=True)
class Crystals:
    """Rows of a store as `config` takes them: one declared batch."""

    config: TrialConfig
    store: PackedStore
    rows: np.ndarray

    @property
    def facts(self) -> dict[str, int]:
        """Number of crystals, of their unique sites, and of stored pairs."""
        columns = ("n_unique_sites", "n_pairs", "n_atoms")
        sums = {c: int(self.store.column(c)[self.rows].sum()) for c in columns}
        unmerged = self.store.column("n_unique_sites") * self.store.column("n_atoms")
        whole = int(unmerged[self.rows].sum())
        return {"n_crystals": len(self.rows), **sums, "n_unmerged_pairs": whole}


def configuration(
    setup: Setup, limit: int, changes: dict[str, Any] | None = None, *, merged: bool
) -> TrialConfig:
    """Return the preset with `limit` atoms per supercell and `changes` over it."""
    cell: dict[str, Any] = {"max_atoms": limit}
    if not merged:
        cell["merge_tolerance"] = None
    config = get_family("sitenet").Config
    return config.from_preset(setup.preset, {"cell": cell, **(changes or {})})


def data_config(setup: Setup, source: str) -> DataConfig:
    """Return how the pool, or a made-up cell, is read."""
    return DataConfig(source=str(table_of(setup, source)), target=TARGET_CONFIG)


def open_store(setup: Setup, config: TrialConfig, source: str = POOL) -> PackedStore:
    """Return the store of a source, built if need be."""
    family = get_family(config.family)
    return open_family_store(
        data_config(setup, source),
        family,
        family.settings(config),
        StoreBuilding(setup.work / "stores", workers=1),
    )


def first_batch(
    setup: Setup, config: TrialConfig, sites: int, source: str = POOL
) -> Crystals:
    """Return the first crystals of a source, filled up to a number of unique sites."""
    store = open_store(setup, config, source)
    sizes = np.asarray(store.column("n_unique_sites"), dtype=np.int64)
    rows = plan_batches(sizes, sites, order=np.arange(len(sizes)))[0]
    return Crystals(config, store, rows)


def pair_budget(crystals: Crystals, device: str) -> int:
    """Return how many pairs training would send through the network at once."""
    free = torch.cuda.mem_get_info()[0] if device != "cpu" else None
    family = get_family(crystals.config.family)
    return family.micro_batch(crystals.config, free).budget


def groups(crystals: Crystals, budget: int, device: str = "cpu") -> list[Batch]:
    """Return the declared batch as training divides it: small crystals first."""
    sizes = np.asarray(crystals.store.column("n_pairs"), dtype=np.int64)[crystals.rows]
    order = np.argsort(sizes, kind="stable")
    return [
        _batch(crystals, crystals.rows[part], device)
        for part in plan_batches(sizes, budget, order=order)
    ]


def whole_batch(crystals: Crystals, device: str = "cpu") -> Batch:
    """Return the declared batch as one, its crystals in their order."""
    return _batch(crystals, crystals.rows, device)


def _batch(crystals: Crystals, rows: np.ndarray, device: str) -> Batch:
    records = [crystals.store.record(int(row)) for row in rows]
    targets = crystals.store.labels(TARGET)[rows][:, None]
    return batch_of(get_family(crystals.config.family), records, targets, device)


def build_network(
    config: TrialConfig, seed: int, pair_budget: int | None = None
) -> nn.Module:
    """Return the network with the weights of `seed`."""
    torch.manual_seed(seed)
    meta = ModelMeta(TARGET_CONFIG, pair_budget=pair_budget)
    return get_family(config.family).build(config, meta)
