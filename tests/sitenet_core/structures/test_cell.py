"""Crystals as arrays, and the published primitive cell."""

import numpy as np
import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from sitenet_core.errors import StructureError
from sitenet_core.structures.cell import Crystal, primitive_cell

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def test_conventional_rock_salt_has_a_primitive_cell_of_two_sites() -> None:
    crystal = primitive_cell(ROCK_SALT, 0.5)
    assert sorted(crystal.numbers.tolist()) == [11, 17]
    assert abs(np.linalg.det(crystal.lattice)) == pytest.approx(5.64**3 / 4)


def test_without_a_tolerance_the_cell_is_kept_as_given() -> None:
    crystal = primitive_cell(ROCK_SALT, None)
    np.testing.assert_array_equal(crystal.lattice, ROCK_SALT.lattice.matrix)
    np.testing.assert_array_equal(crystal.frac, ROCK_SALT.frac_coords)
    assert crystal.numbers.tolist() == [site.specie.Z for site in ROCK_SALT]


def test_sites_of_different_oxidation_state_are_different_sites() -> None:
    chain = Structure(
        Lattice.tetragonal(4.0, 6.0), ["Fe2+", "Fe3+"], [[0, 0, 0], [0, 0, 0.5]]
    )
    assert primitive_cell(chain, 0.5).oxidation.tolist() == [2.0, 3.0]
    chain.remove_oxidation_states()
    bare = primitive_cell(chain, 0.5)
    assert bare.oxidation.tolist() == [0.0]


def test_another_basis_keeps_the_cartesian_positions() -> None:
    crystal = primitive_cell(ROCK_SALT, None)
    basis = np.array([[1, 2, 0], [0, 1, 0], [-1, 0, 1]])
    turned = crystal.in_basis(basis)
    np.testing.assert_allclose(
        turned.frac @ turned.lattice, crystal.frac @ crystal.lattice, atol=1e-12
    )


def test_a_structure_without_sites_is_refused() -> None:
    with pytest.raises(StructureError, match="no sites"):
        Crystal.from_structure(Structure(Lattice.cubic(3), [], []))


def test_a_partially_occupied_site_is_refused() -> None:
    mixed = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match="partially occupied"):
        Crystal.from_structure(mixed)


@pytest.mark.parametrize("species", ["Rf", DummySpecies("X", 0)])
def test_what_has_no_elemental_properties_is_refused(species: object) -> None:
    structure = Structure(Lattice.cubic(3), [species], [[0, 0, 0]])
    with pytest.raises(StructureError, match="Z from 1 to 103"):
        Crystal.from_structure(structure)
