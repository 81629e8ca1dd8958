"""The arrays of the Site-Net store."""

import pickle

import numpy as np
import pytest
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure
from support.crystals import sample
from support.sitenet_records import blocks_of

from sitenet_core.data.schema import CRYSTAL
from sitenet_core.errors import StructureError
from sitenet_core.families.sitenet.featurise import LARGEST_N, SCHEMA, featurise
from sitenet_core.families.sitenet.settings import CellSettings

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


@pytest.mark.parametrize("reduction", ["canonical", "none"])
@pytest.mark.parametrize("tolerance", [0.5, 0.01, None])
def test_arrays_are_those_of_the_schema(reduction: str, tolerance: float) -> None:
    settings = CellSettings.model_validate(
        {"max_atoms": 60, "primitive_tolerance": tolerance, "reduction": reduction}
    )
    for structure in [ROCK_SALT, *sample("prototypes", 10)]:
        arrays = featurise(structure, settings)
        assert list(arrays) == [spec.name for spec in SCHEMA]
        n_sites = int(arrays["n_sites"])
        rows = {
            "unique_site": arrays["n_unique_sites"],
            "site": n_sites,
            "block": n_sites * (n_sites + 1) // 2,
            "half_pair": arrays["pairs_per_block"].sum(),
        }
        for spec in SCHEMA:
            array = arrays[spec.name]
            expected = () if spec.scope == CRYSTAL else (int(rows[spec.scope]),)
            assert array.dtype == spec.dtype, spec.name
            assert array.shape == expected + spec.shape, spec.name


def test_rock_salt_at_fifty_atoms_is_what_one_can_count() -> None:
    arrays = featurise(ROCK_SALT, CellSettings(max_atoms=50))
    n_atoms = int(arrays["n_atoms"])
    assert arrays["n_unique_sites"] == 2
    assert sorted(arrays["atomic_numbers"].tolist()) == [11, 17]
    charges = dict(
        zip(arrays["atomic_numbers"], arrays["oxidation_states"], strict=True)
    )
    assert charges == {11: 1.0, 17: -1.0}
    assert n_atoms <= 50
    images = abs(round(np.linalg.det(arrays["scaling_matrix"])))
    assert n_atoms == 2 * images
    blocks = blocks_of(arrays)
    for own, other in ((0, 1), (1, 0)):
        counts = [blocks[own, b][1].sum() for b in (0, 1)]
        assert counts == [images, images]
        distance, count = blocks[own, other]
        assert count[np.isclose(distance, 2.82, atol=1e-5)].sum() == 6
        distance, count = blocks[own, own]
        assert not np.isclose(distance, 2.82, atol=1e-5).any()


def test_each_site_meets_itself_once_and_every_atom_of_the_supercell() -> None:
    for structure in sample("prototypes", 20, seed=1):
        arrays = featurise(structure, CellSettings(max_atoms=80))
        n_sites, n_atoms = int(arrays["n_sites"]), int(arrays["n_atoms"])
        images = n_atoms // int(arrays["n_unique_sites"])
        sizes = arrays["site_multiplicity"]
        assert np.bincount(arrays["site_index"]).tolist() == sizes.tolist()
        n_pairs = 0
        for (a, b), (distance, count) in blocks_of(arrays).items():
            itself = distance == 0
            assert itself.tolist() == [a == b] + [False] * (len(distance) - 1)
            assert not itself.any() or count[0] == 1
            assert (np.diff(distance) >= 0).all()
            assert count.sum() == images * sizes[b]
            n_pairs += len(distance)
        assert arrays["n_pairs"] == n_pairs
        assert n_sites <= arrays["n_unique_sites"] == len(arrays["frac_coords"])


@pytest.mark.parametrize("reduction", ["canonical", "none"])
def test_one_site_crystals_are_taken(reduction: str) -> None:
    polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0.3, 0.1, 0.9]])
    settings = CellSettings.model_validate({"max_atoms": 27, "reduction": reduction})
    arrays = featurise(polonium, settings)
    assert arrays["n_atoms"] == 27
    near = np.isclose(arrays["pair_distance"], 3.35, atol=1e-5)
    assert arrays["pair_multiplicity"][near].sum() == 6


@pytest.mark.parametrize("reduction", ["canonical", "none"])
def test_a_cell_of_more_sites_than_the_limit_is_kept(reduction: str) -> None:
    structure = max(sample("prototypes", 60), key=len)
    settings = CellSettings.model_validate({"max_atoms": 2, "reduction": reduction})
    arrays = featurise(structure, settings)
    assert arrays["n_unique_sites"] > 2
    assert arrays["n_atoms"] == arrays["n_unique_sites"]


@pytest.mark.parametrize("reduction", ["canonical", "none"])
def test_a_needle_fifty_times_longer_than_wide_is_taken(reduction: str) -> None:
    needle = Structure(
        Lattice.tetragonal(3.0, 150.0), ["H", "Li"], [[0] * 3, [0.5] * 3]
    )
    settings = CellSettings.model_validate({"max_atoms": 50, "reduction": reduction})
    arrays = featurise(needle, settings)
    assert arrays["n_atoms"] == 50
    assert np.isfinite(arrays["pair_distance"]).all()


def test_structures_that_cannot_be_taken_raise_a_structure_error() -> None:
    flat = Structure([[3, 0, 0], [0, 3, 0], [3, 3, 0]], ["H"], [[0, 0, 0]])
    heavy = Structure(Lattice.cubic(4), ["Rf"], [[0, 0, 0]])
    with pytest.raises(StructureError, match="no volume"):
        featurise(flat, CellSettings())
    with pytest.raises(StructureError, match="Z from 1 to 103"):
        featurise(heavy, CellSettings())


def test_more_sites_than_an_index_can_name_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert LARGEST_N == 65535
    monkeypatch.setattr("sitenet_core.families.sitenet.featurise.LARGEST_N", 1)
    with pytest.raises(StructureError, match="2 sites; at most 1"):
        featurise(ROCK_SALT, CellSettings())


def test_settings_and_function_can_go_to_another_process() -> None:
    function, settings = pickle.loads(pickle.dumps((featurise, CellSettings())))  # noqa: S301 - our own bytes
    assert function(ROCK_SALT, settings)["n_unique_sites"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"max_atoms": 0},
        {"max_atoms": 65_536},
        {"merge_tolerance": 0},
        {"merge_tolerance": 0.11},
        {"primitive_tolerance": 0},
        {"reduction": "niggli"},
        {"max_atom": 50},
    ],
)
def test_settings_outside_their_bounds_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        CellSettings.model_validate(change)


def test_a_distortion_of_real_size_is_kept_by_default() -> None:
    coords = [[0, 0, 0], [0.53, 0, 0]]  # 0.18 Å off the middle of the chain
    dimers = Structure(Lattice.orthorhombic(6, 4, 5), ["Po", "Po"], coords)
    for settings, n_sites in (
        (CellSettings(), 2),
        (CellSettings(primitive_tolerance=0.5), 1),
    ):
        assert featurise(dimers, settings)["n_unique_sites"] == n_sites


def test_default_settings_keep_distortions_and_are_canonical() -> None:
    assert CellSettings().model_dump() == {
        "max_atoms": 500,
        "primitive_tolerance": 0.1,
        "reduction": "canonical",
        "merge_tolerance": 1e-4,
    }
