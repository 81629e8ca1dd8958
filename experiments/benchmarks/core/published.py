"""The published code (github.com/lrcfmd/Site-Net), run from a checkout of the reader's.

Nothing of it is kept here. Packages that it imports and that are not installed are
replaced by those in `published_standins`. Its step is what its Lightning trainer does
on a CPU, without anomaly detection: zero_grad, `training_step`, backward, clip, step.
"""

import importlib
import pickle
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import yaml
from torch import nn

from experiments.benchmarks.core.measuring import cpu_seconds
from experiments.benchmarks.core.published_standins import install
from experiments.benchmarks.core.sample import POOL, TARGET, table_of
from experiments.benchmarks.core.setup import Setup
from sitenet_core.structures.record import StructureRecord
from sitenet_core.structures.sources.table import TableSource

_CONFIG = "config/PaperParams.yaml"


@dataclass(frozen=True)
class PublishedCode:
    """Its modules and its configuration."""

    cells: ModuleType
    features: ModuleType
    lightning: ModuleType
    config: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> "PublishedCode":
        """Import the modules of the checkout at `path`."""
        install()
        sys.path.insert(0, str(path))
        names = ("create_mp_gap_hdf5", "h5_handler", "lightning_module")
        modules = [importlib.import_module(name) for name in names]
        text = (path / _CONFIG).read_text(encoding="utf-8")
        return cls(*modules, yaml.safe_load(text))

    def featurise(self, record: StructureRecord, limit: int) -> dict[str, Any]:
        """Return what its loader would hand to its `collate_fn`."""
        process = self.cells.process_structures(True, limit)
        cell, n_sites, n_images = process.process_structure(record.structure)
        sizes = (n_sites, n_images)
        make_site = self.features.get_site_feature_array
        make_bond = self.features.get_bonds_feature_array
        sites = [make_site(f, cell, *sizes) for f in self.config["Site_Features"]]
        bonds = [
            make_bond(f, cell, *sizes) for f in self.config["Interaction_Features"]
        ]
        numpy = self.features.np
        return {
            "Site_Feature_Tensor": numpy.concatenate(sites, axis=1),
            "Interaction_Feature_Tensor": numpy.stack(bonds, axis=2),
            "Atomic_ID": self.features.featurize_h5_cache_ElemToken(cell, n_images),
            "Oxidation_State": self.features.featurize_h5_cache_Oxidation(
                cell, n_images
            ),
            "target": record.labels[TARGET],
            "prim_size": n_sites,
            "images": n_images,
        }

    def network(self, seed: int) -> nn.Module:
        """Return the network at the paper's values."""
        torch.manual_seed(seed)
        network: nn.Module = self.lightning.SiteNet(dict(self.config))
        return network


def read_records(setup: Setup, count: int) -> list[StructureRecord]:
    """Return the first structures of the pool."""
    source = TableSource(table_of(setup, POOL), TARGET)
    records = []
    for record in source:
        if len(records) == count:
            break
        if isinstance(record, StructureRecord):
            records.append(record)
    return records


def batch_items(
    code: PublishedCode, setup: Setup, limit: int, count: int
) -> list[dict[str, Any]]:
    """Return the featurised first structures of the pool; slow, so kept in a file."""
    path = setup.work / f"published-{limit}-{count}.pickle"
    if not path.exists():
        items = [code.featurise(r, limit) for r in read_records(setup, count)]
        path.write_bytes(pickle.dumps(items))
    items = pickle.loads(path.read_bytes())  # noqa: S301 (written above)
    return list(items)


def features(setup: Setup, limit: int) -> dict[str, Any]:
    """Return the processor seconds per structure of its featurisation, and bytes."""
    if setup.published is None:
        raise ValueError("no published code was given")
    code = PublishedCode.load(setup.published)
    records = read_records(setup, setup.published_featurised)
    code.featurise(records[0], limit)
    seconds, sizes = [], []
    for record in records:
        begin = cpu_seconds()
        arrays = code.featurise(record, limit)
        seconds.append(cpu_seconds() - begin)
        found = [code.features.np.asarray(a) for a in arrays.values()]
        sizes.append(sum(len(zlib.compress(a.tobytes(), 4)) for a in found))
    return {
        "mean_ms": 1e3 * sum(seconds) / len(seconds),
        "median_ms": 1e3 * sorted(seconds)[len(seconds) // 2],
        "bytes": sum(sizes) / len(sizes),
        "structures": len(seconds),
    }
