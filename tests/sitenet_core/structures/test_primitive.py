"""The invariant primitive cell: same as pymatgen's where that is well defined."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from support.crystals import PROTOTYPES, sample
from support.transforms import enlarged, scrambled

from sitenet_core.errors import StructureError
from sitenet_core.structures.cell import Crystal, primitive_cell
from sitenet_core.structures.primitive import invariant_primitive_cell


def found(structure: Structure, tolerance: float | None = 0.5) -> Crystal:
    """Return the primitive cell of a pymatgen structure."""
    return invariant_primitive_cell(Crystal.from_structure(structure), tolerance)


@pytest.mark.parametrize("source", ["mp_gap_20k", PROTOTYPES])
def test_number_of_sites_is_pymatgens_for_exact_translations(source: str) -> None:
    rng = np.random.default_rng(0)
    small = [one for one in sample(source, 60) if len(one) <= 24]
    for structure in small:
        written = enlarged(structure, rng)
        expected = primitive_cell(structure.get_reduced_structure(), 0.01)
        assert found(written, 0.01).n_sites == expected.n_sites


@pytest.mark.parametrize("size", [(3, 1, 1), (1, 2, 5), (2, 2, 2), (1, 1, 7)])
def test_every_exact_translation_is_found(size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    frac = [[0.1, 0.2, 0.3], [0.45, 0.5, 0.8], [0.7, 0.9, 0.1]]
    cell = Structure(
        Lattice.from_parameters(4, 5, 6, 80, 95, 101), ["K", "Mn", "O"], frac
    )
    crystal = found(scrambled(cell.make_supercell(size, in_place=False), rng), 1e-3)
    assert crystal.n_sites == 3
    volume = abs(np.linalg.det(crystal.lattice))
    assert volume == pytest.approx(cell.volume, rel=1e-12)


def doubled(shift: float) -> Structure:
    """Return a doubled cell whose oxygen atoms are displaced by ±shift Å along x."""
    frac = [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.25], [0.5, 0.5, 0.75]]
    structure = Structure(Lattice.tetragonal(4.0, 8.0), ["K", "K", "O", "O"], frac)
    structure.translate_sites([2], [shift, 0, 0], frac_coords=False)
    structure.translate_sites([3], [-shift, 0, 0], frac_coords=False)
    return structure


@pytest.mark.parametrize(("shift", "n_sites"), [(0.0, 2), (0.24, 2), (0.26, 4)])
def test_distortions_below_the_tolerance_are_averaged_away(
    shift: float, n_sites: int
) -> None:
    crystal = found(doubled(shift))
    assert crystal.n_sites == n_sites
    if n_sites == 2:
        apart = crystal.frac[crystal.numbers == 8] - crystal.frac[crystal.numbers == 19]
        cartesian = (apart - np.floor(apart)) @ crystal.lattice
        centre = np.sqrt(2.0**2 + 2.0**2 + 2.0**2)
        assert np.linalg.norm(cartesian) == pytest.approx(centre, abs=1e-9)


def test_nothing_is_averaged_without_a_tolerance() -> None:
    assert found(doubled(0.0), None).n_sites == 4


def test_size_of_a_pseudo_primitive_cell_does_not_depend_on_the_description() -> None:
    rng = np.random.default_rng(2)
    for structure in sample("carbon", 100):
        expected = found(structure).n_sites
        assert found(scrambled(structure, rng)).n_sites == expected
        assert found(scrambled(enlarged(structure, rng), rng)).n_sites == expected


def test_oxidation_states_break_a_translation() -> None:
    structure = doubled(0.0)
    structure.add_oxidation_state_by_site([1, 1, -2, -1])
    assert found(structure).n_sites == 4


def test_a_cell_without_volume_is_refused() -> None:
    flat = Crystal(np.ones((3, 3)), np.zeros((1, 3)), np.array([1]), np.zeros(1))
    with pytest.raises(StructureError, match="no volume"):
        invariant_primitive_cell(flat, 0.5)
