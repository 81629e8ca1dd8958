"""`reduction: canonical`: the supercell does not depend on how a crystal is written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from support.crystals import PROTOTYPES, rows_difference, sample, species_rows
from support.transforms import enlarged, random_rotation, random_unimodular, scrambled

from sitenet_core.families.sitenet.featurise import supercell_of
from sitenet_core.families.sitenet.settings import CellSettings
from sitenet_core.structures.canonical import (
    Supercell,
    canonical_supercell,
    reduced_bases,
)
from sitenet_core.structures.cell import Crystal, primitive_cell
from sitenet_core.structures.distances import pair_distances
from sitenet_core.structures.lattice import minkowski_basis
from sitenet_core.structures.primitive import invariant_primitive_cell
from sitenet_core.structures.supercell import scaling_matrix

SAMPLES = [("perovskites", 60), ("mp_gap_20k", 130), (PROTOTYPES, 60)]
LIMITS = (50, 100, 500)
AGREEMENT = 1e-6
"""Å, largest difference of two descriptions' distance rows."""
MOST_TIED = 24
"""Half the order of the cubic point group."""
FCC = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
HEXAGONAL = np.array([[1.0, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.6]])


def rows_of(supercell: Supercell) -> list[np.ndarray]:
    """Return the sorted distance rows of a supercell."""
    distances = pair_distances(supercell.crystal, supercell.scaling)
    return species_rows(supercell.crystal, distances)


def canonical(structure: Structure, limit: int) -> Supercell:
    """Return what a store would hold of `structure`."""
    return supercell_of(structure, CellSettings(max_atoms=limit))


def niggli(structure: Structure, limit: int) -> Supercell:
    """Return the supercell that Niggli reduction alone gives."""
    crystal = primitive_cell(structure.get_reduced_structure("niggli"), 0.5)
    return Supercell(crystal, scaling_matrix(crystal.lattice, crystal.n_sites, limit))


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("source", "count"), SAMPLES)
def test_rows_are_the_same_however_the_crystal_is_written(
    source: str, count: int, limit: int
) -> None:
    rng = np.random.default_rng(limit)
    for number, structure in enumerate(sample(source, count)):
        first = canonical(structure, limit)
        again = canonical(scrambled(structure, rng), limit)
        assert rows_difference(rows_of(first), rows_of(again)) < AGREEMENT, number
        assert first.n_tied <= MOST_TIED


@pytest.mark.parametrize("source", ["jarvis50", "tiny_small", "tiny_wide"])
def test_rows_are_the_same_for_every_crystal_of_the_small_tables(source: str) -> None:
    rng = np.random.default_rng(0)
    for number, structure in enumerate(sample(source, 60)):
        first = canonical(structure, 100)
        again = canonical(scrambled(structure, rng), 100)
        assert rows_difference(rows_of(first), rows_of(again)) < AGREEMENT, number


@pytest.mark.parametrize(("source", "count"), SAMPLES)
def test_niggli_reduction_alone_gives_other_rows_for_some_of_them(
    source: str, count: int
) -> None:
    rng = np.random.default_rng(1)
    limit = 100 if source == "perovskites" else 50
    changed = 0
    for structure in sample(source, count):
        first = niggli(structure, limit)
        again = niggli(scrambled(structure, rng), limit)
        changed += rows_difference(rows_of(first), rows_of(again)) > 1e-3
    assert changed >= 1


@pytest.mark.parametrize("source", ["perovskites", "mp_gap_20k", PROTOTYPES])
def test_rows_are_the_same_for_a_supercell_of_the_crystal(source: str) -> None:
    rng = np.random.default_rng(2)
    small = [one for one in sample(source, 60) if len(one) <= 20][:25]
    for number, structure in enumerate(small):
        first = canonical(structure, 100)
        again = canonical(scrambled(enlarged(structure, rng), rng), 100)
        assert rows_difference(rows_of(first), rows_of(again)) < AGREEMENT, number


def test_choice_is_stable_against_the_rounding_of_an_input_file() -> None:
    rng = np.random.default_rng(3)
    unchanged = 0
    structures = sample("perovskites", 30)
    for structure in structures:
        written = scrambled(structure, rng).perturb(1e-5)
        first, again = canonical(structure, 100), canonical(written, 100)
        unchanged += rows_difference(rows_of(first), rows_of(again)) < 1e-3
    assert unchanged >= 0.9 * len(structures)


def test_oxidation_states_take_part_in_the_choice() -> None:
    # four atoms of one element in a cubic cell: only the charges break the symmetry
    frac = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    species = ["Fe3+", "Fe2+", "Fe2+", "Fe2+"]
    structure = Structure(4.0 * np.diag([1, 1, 1.1]), species, frac)
    rng = np.random.default_rng(4)
    first = canonical(structure, 100)
    assert first.crystal.n_sites == 4
    for _ in range(10):
        again = canonical(scrambled(structure, rng), 100)
        assert rows_difference(rows_of(first), rows_of(again)) < AGREEMENT


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["random", "fcc", "hexagonal"]))
def test_tied_bases_have_one_shape_and_number_at_most_24(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    special = {"random": rng.normal(size=(3, 3)), "fcc": FCC, "hexagonal": HEXAGONAL}
    lattice = 4 * random_unimodular(rng) @ special[kind] @ random_rotation(rng)
    reduced = minkowski_basis(lattice) @ lattice
    bases = reduced_bases(reduced)
    assert 1 <= len(bases) <= MOST_TIED
    lattices = bases @ reduced
    grams = np.abs(lattices @ lattices.transpose(0, 2, 1))
    assert np.ptp(grams, axis=0).max() < 1e-3 * grams.max()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_supercells_of_random_crystals_do_not_depend_on_the_basis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = rng.choice([FCC, HEXAGONAL, np.eye(3), rng.normal(size=(3, 3))]) * 4.0
    n_sites = int(rng.integers(1, 5))
    crystal = Crystal(
        lattice,
        rng.random((n_sites, 3)),
        rng.integers(1, 4, n_sites),
        np.zeros(n_sites),
    )
    turned = crystal.in_basis(random_unimodular(rng))
    turned = Crystal(
        turned.lattice @ random_rotation(rng),
        turned.frac,
        crystal.numbers,
        np.zeros(n_sites),
    )
    first, again = canonical_supercell(crystal, 60), canonical_supercell(turned, 60)
    assert rows_difference(rows_of(first), rows_of(again)) < AGREEMENT


def test_distances_of_the_choice_are_those_of_the_supercell() -> None:
    known = 0
    for source in ("mp_gap_20k", "perovskites", "prototypes"):
        for structure in sample(source, 15):
            crystal = invariant_primitive_cell(Crystal.from_structure(structure), 0.1)
            supercell = canonical_supercell(crystal, 100)
            expected = pair_distances(supercell.crystal, supercell.scaling)
            np.testing.assert_allclose(
                supercell.distances(), expected, rtol=0, atol=1e-9
            )
            known += supercell.known is not None
    assert known > 0
