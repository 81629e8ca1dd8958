"""This program's own path from a table of structures to batches and a network."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from experiments.benchmarks.core.sample import POOL, TARGET, table_of
from experiments.benchmarks.core.setup import Setup
from sitenet_core.config import DataConfig, SplitConfig, TargetConfig, TrialConfig
from sitenet_core.data import PackedStore, Split, plan_batches
from sitenet_core.families import ModelMeta, batch_of, get_family
from sitenet_core.families.stores import StoreBuilding, open_family_store
from sitenet_core.training import TrainingData
from sitenet_core.training.loader import CrystalSet, DeclaredBatch, Loading
from sitenet_core.training.residence import crystal_source, group_size

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


def training_data(crystals: Crystals) -> TrainingData:
    """Return the declared batch as a training set without validation."""
    store = crystals.store
    split = Split(
        column=TARGET,
        config=SplitConfig(),
        cell_limit=int(store.column("n_unique_sites").max()),
        store_digest=store.digest,
        train=tuple(sorted(store.ids[row] for row in crystals.rows)),
        validation=(),
        test=(),
    )
    return TrainingData(store, split, TARGET_CONFIG, "train+validation")


def declared_batch(
    crystals: Crystals, device: str, wanted: int | None = None
) -> DeclaredBatch:
    """Return the batch as training's loader hands it over: in groups.

    Args:
        crystals: of the batch.
        device: where the groups are made.
        wanted: pairs per group; None is what training chooses.
    """
    config, data = crystals.config, training_data(crystals)
    family, where = get_family(config.family), kind_of(device)
    micro = group_size(family, config, where, wanted)
    source = crystal_source(family, crystals.store, where)
    loading = Loading(family, source, micro.unit, micro.budget)
    chosen = CrystalSet.of(loading, config, data, data.training_ids)
    return DeclaredBatch(chosen, np.arange(len(crystals.rows)))


def kind_of(device: str) -> Literal["cpu", "gpu"]:
    """Return training's word for torch's name of a device."""
    return "cpu" if device == "cpu" else "gpu"


def whole_batch(crystals: Crystals, device: str = "cpu") -> Any:
    """Return the batch undivided, its crystals in their order."""
    rows = crystals.rows
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
