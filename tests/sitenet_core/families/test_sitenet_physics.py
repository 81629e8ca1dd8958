"""Site-Net predicts the same for a crystal however it is written down.

Measured on 60 perovskites and 60 Matbench cells at 100 atoms, where Niggli reduction
alone fails. Distances in a record are float32, so equal crystals may differ by their
last bit.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pymatgen.core import Lattice, Structure
from support import transforms
from support.family_contract import TARGET, prototypes

from sitenet_core.families import ModelMeta, batch_of, get_family
from sitenet_core.families.sitenet.config import SiteNetConfig

MAX_ATOMS = 100
TOLERANCE = 1e-6
N_EACH = 60

Change = Callable[[Structure, np.random.Generator], Structure]
CHANGES: dict[str, Change] = {
    "translated": transforms.translated,
    "rotated": transforms.rotated,
    "permuted": transforms.permuted,
    "rebased": transforms.rebased,
    "rewrapped": transforms.rewrapped,
    "enlarged": transforms.enlarged,
    "scrambled": transforms.scrambled,
}
MODELS = [
    {},
    {"pooling": "max", "cutoff": 5.0, "normalization": "batch"},
    {"pooling": "self_attention", "pooling_heads": 2, "pooling_queries": 2},
]


@pytest.fixture(scope="module")
def real_crystals(shared_data: Path) -> list[Structure]:
    """Return 60 perovskites and 60 Matbench cells."""
    return [
        crystal
        for name in ("perovskites.parquet", "mp_gap_20k.parquet")
        for crystal in read_crystals(shared_data / name, N_EACH)
    ]


@pytest.fixture(scope="module")
def shipped_crystals() -> list[Structure]:
    """Return 24 crystals of up to 30 sites that pymatgen ships."""
    small = [s for s in prototypes().values() if len(s) <= 30]
    return small[:: len(small) // 24][:24]


def read_crystals(path: Path, count: int) -> list[Structure]:
    """Return `count` crystals of a table, drawn with a fixed seed."""
    table = pq.read_table(path, columns=["cell", "numbers", "frac_e8"])
    rows = np.random.default_rng(0).choice(len(table), count, replace=False)
    return [
        Structure(
            Lattice.from_parameters(*row["cell"]),
            row["numbers"],
            np.array(row["frac_e8"]).reshape(-1, 3) / 1e8,
        )
        for row in table.take(rows).to_pylist()
    ]


def predictions(crystals: Sequence[Structure]) -> np.ndarray:
    """Return float64 predictions (n_crystals, n_models) in batches of 30."""
    family = get_family("sitenet")
    configs = [
        SiteNetConfig.from_preset(
            "test", {"cell": {"max_atoms": MAX_ATOMS}, "model": changes}
        )
        for changes in MODELS
    ]
    settings = family.settings(configs[0])
    records = [family.featurise(crystal, settings) for crystal in crystals]
    batches = [
        batch_of(family, records[k : k + 30]) for k in range(0, len(records), 30)
    ]
    columns = []
    for config in configs:
        torch.manual_seed(0)
        model = family.build(config, ModelMeta(target=TARGET)).double().eval()
        with torch.no_grad():
            columns.append(torch.cat([model(batch) for batch in batches]))
    return torch.cat(columns, dim=1).numpy()


def check_all_changes(crystals: list[Structure]) -> None:
    """Check every way to write the same crystals, against the spread of predictions."""
    rng = np.random.default_rng(1)
    expected = predictions(crystals)
    assert len(np.unique(expected[:, 0].round(9))) > 0.9 * len(crystals)
    spread = np.ptp(expected, axis=0)
    for name, change in CHANGES.items():
        found = predictions([change(crystal, rng) for crystal in crystals])
        largest = (np.abs(found - expected) / spread).max()
        assert largest < TOLERANCE, name


def test_shipped_crystals_are_predicted_alike_however_written(
    shipped_crystals: list[Structure],
) -> None:
    check_all_changes(shipped_crystals)


def test_perovskites_and_matbench_cells_are_predicted_alike_however_written(
    real_crystals: list[Structure],
) -> None:
    assert len(real_crystals) == 2 * N_EACH
    check_all_changes(real_crystals)


def test_the_published_reduction_depends_on_the_basis(
    real_crystals: list[Structure],
) -> None:
    """The check above can fail: without canonical reduction it does."""
    family = get_family("sitenet")
    config = SiteNetConfig.from_preset(
        "test", {"cell": {"max_atoms": MAX_ATOMS, "reduction": "none"}}
    )
    rng = np.random.default_rng(1)
    changed = [transforms.rebased(crystal, rng) for crystal in real_crystals]
    distances = [
        [
            family.featurise(c, family.settings(config))["pair_distance"]
            for c in crystals
        ]
        for crystals in (real_crystals, changed)
    ]
    different = [
        one.shape != other.shape
        or not np.allclose(np.sort(one), np.sort(other), atol=1e-3)
        for one, other in zip(*distances, strict=True)
    ]
    assert sum(different) > N_EACH
