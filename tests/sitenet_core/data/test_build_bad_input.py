"""What a build makes of crystals that are damaged, odd or at the limits.

Each ends as a row with a reason or as a correct record, whether its source holds arrays
or structures; the build of the others goes on.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from support.crystals import needle

from sitenet_core.data import BuildOptions, PackedStore, build_store, store_path
from sitenet_core.families import get_family, recipe
from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.sources.source import RawItem, Source

MAX_ATOMS = 100


def crystal(
    numbers: list[int], frac: object, lattice: object = None, edge: float = 4.0
) -> Crystal:
    matrix = edge * np.eye(3) if lattice is None else np.array(lattice, dtype=float)
    sites = np.array(numbers)
    return Crystal(
        matrix, np.array(frac, dtype=float).reshape(-1, 3), sites, np.zeros(len(sites))
    )


def grid(side: int) -> Crystal:
    """Return side³ atoms, moved at random so that no translation is left."""
    rng = np.random.default_rng(0)
    places = np.indices((side,) * 3).reshape(3, -1).T / side
    frac = places + rng.uniform(-0.03, 0.03, (side**3, 3))
    return crystal([6 + k % 3 for k in range(side**3)], frac, edge=2.5 * side)


REFUSED: Mapping[str, tuple[Crystal, str]] = {
    "overlapping": (
        crystal([11, 17], [[0, 0, 0], [0.02, 0, 0]]),
        "overlap: they are 0.080 Å apart",
    ),
    "overlapping-across-the-boundary": (
        crystal([11, 17], [[0.999, 0, 0], [1.01, 3, 0]]),
        "overlap: they are 0.044 Å apart",
    ),
    "overlapping-itself": (
        crystal([11], [[0, 0, 0]], np.diag([0.08, 5, 5])),
        "overlap: they are 0.080 Å apart",
    ),
    "flat": (
        crystal([11], [[0, 0, 0]], [[4, 0, 0], [0, 4, 0], [4, 4, 1e-9]]),
        "almost no volume",
    ),
    "no-volume": (crystal([11], [[0, 0, 0]], np.zeros((3, 3))), "almost no volume"),
    "nan-coordinate": (
        crystal([11, 17], [[0, 0, 0], [0.5, np.nan, 0]]),
        "coordinate that is not a finite number",
    ),
    "infinite-coordinate": (
        crystal([11, 17], [[0, 0, 0], [0.5, np.inf, 0]]),
        "coordinate that is not a finite number",
    ),
    "nan-lattice": (
        crystal([11], [[0, 0, 0]], np.diag([4, np.nan, 4])),
        "not finite",
    ),
    "huge": (crystal([11], [[0, 0, 0]], edge=1e6), "vector of 1e\\+06 Å"),
    "no-properties": (crystal([104], [[0, 0, 0]]), "element 104"),
}
TAKEN: Mapping[str, Crystal] = {
    "one-atom": crystal([26], [[0.3, 0.2, 0.9]]),
    "needle": needle(50),
    "thousand": grid(10),
    "imputed": crystal([2, 103], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "far-coordinates": crystal([11, 17], [[12, -7, 0], [0.5, 1000.5, 0.5]]),
}


@dataclass(frozen=True)
class Listed(Source):
    """Crystals by name, as arrays or as structures."""

    crystals: Mapping[str, Crystal]
    as_arrays: bool

    @property
    def name(self) -> str:
        return "listed"

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    @property
    def has_folds(self) -> bool:
        return False

    def digest(self) -> str:
        return hashlib.sha256(
            repr([*self.crystals, self.as_arrays]).encode()
        ).hexdigest()

    def __len__(self) -> int:
        return len(self.crystals)

    def items(self) -> Iterator[RawItem]:
        make = as_it_is if self.as_arrays else as_structure
        for key, one in self.crystals.items():
            yield RawItem(key, make, one)


def as_it_is(one: Crystal) -> Crystal:
    return one


def as_structure(one: Crystal) -> Structure:
    return one.to_structure()


@pytest.fixture(scope="module", params=["arrays", "structures"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PackedStore:
    root = tmp_path_factory.mktemp("stores")
    refused = {name: one for name, (one, _) in REFUSED.items()}
    source = Listed({**refused, **TAKEN}, request.param == "arrays")
    family = get_family("sitenet")
    changes = {"max_atoms": MAX_ATOMS, "merge_tolerance": None}
    made_by = recipe(family, family.default_settings.model_copy(update=changes))
    build_store(source, made_by, BuildOptions(root, max_failed_fraction=0.9))
    return PackedStore.open(store_path(source, made_by, root))


def test_what_cannot_be_used_is_a_row_with_a_reason(store: PackedStore) -> None:
    rows = {row.id: row.reason for row in store.report.skipped}
    assert list(rows) == list(REFUSED)
    for name, (_, reason) in REFUSED.items():
        assert not rows[name].startswith("unexpected")
        with pytest.raises(ValueError, match=reason):
            raise ValueError(rows[name])


def test_what_is_odd_is_stored(store: PackedStore) -> None:
    assert store.ids == list(TAKEN)
    store.verify()
    n_sites = dict(zip(store.ids, store.column("n_unique_sites").tolist(), strict=True))
    assert n_sites["one-atom"] == 1
    assert n_sites["needle"] == 3
    # above the limit a cell is taken as it is
    assert n_sites["thousand"] == 1000
    n_atoms = dict(zip(store.ids, store.column("n_atoms").tolist(), strict=True))
    assert n_atoms["thousand"] == 1000
    assert n_atoms["one-atom"] == MAX_ATOMS
    assert MAX_ATOMS / 2 < n_atoms["needle"] <= MAX_ATOMS


@pytest.mark.parametrize("name", [*TAKEN])
def test_the_stored_distances_are_pymatgens(store: PackedStore, name: str) -> None:
    record = store.record(store.ids.index(name))
    n = int(record["n_unique_sites"][0])
    built = Structure(
        Lattice(record["lattice"][0]), [6] * n, record["frac_coords"].copy()
    )
    built.make_supercell(record["scaling_matrix"][0], to_unit_cell=False)
    images = len(built) // n
    reference = built.distance_matrix[::images].reshape(n, n, images)
    first, second = np.triu_indices(n)
    expected = np.sort(reference[first, second], axis=1).ravel()
    found = np.repeat(record["pair_distance"], record["pair_multiplicity"])
    assert np.abs(found - expected).max() < 1e-4


def test_the_cell_of_the_needle_is_kept(store: PackedStore) -> None:
    lattice = store.record(store.ids.index("needle"))["lattice"][0]
    lengths = np.sort(np.linalg.norm(lattice, axis=1))
    assert lengths[2] / lengths[0] == pytest.approx(50, rel=0.01)
    volume = abs(np.linalg.det(needle(50).lattice))
    assert abs(np.linalg.det(lattice)) == pytest.approx(volume)
