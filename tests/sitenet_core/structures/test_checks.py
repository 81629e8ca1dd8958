"""What a structure must be, and the reasons given when it is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from sitenet_core.errors import StructureError
from sitenet_core.structures import check_structure
from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.checks import MIN_DISTANCE, check_crystal

CUBE = Lattice.cubic(4)
CORNER_AND_CENTRE = [[0, 0, 0], [0.5, 0.5, 0.5]]


def test_a_clean_structure_is_returned_as_it_is() -> None:
    structure = Structure(CUBE, ["Na", "Cl"], CORNER_AND_CENTRE)
    assert check_structure(structure) == structure


@pytest.mark.parametrize("isotope", ["D", "T"])
def test_deuterium_and_tritium_become_hydrogen(isotope: str) -> None:
    checked = check_structure(Structure(CUBE, [isotope, "O"], CORNER_AND_CENTRE))
    assert [site.specie.symbol for site in checked] == ["H", "O"]
    assert str(checked[0].specie) == "H"


def test_a_site_shared_by_hydrogen_and_deuterium_is_full() -> None:
    checked = check_structure(
        Structure(CUBE, [{"D": 0.4, "H": 0.6}, "O"], CORNER_AND_CENTRE)
    )
    assert checked.formula == "H1 O1"
    assert checked.is_ordered


def test_oxidation_states_are_kept_and_other_properties_dropped() -> None:
    structure = Structure(
        CUBE, ["Fe3+", "O2-"], CORNER_AND_CENTRE, site_properties={"magmom": [5, 0]}
    )
    checked = check_structure(structure)
    assert [site.specie.oxi_state for site in checked] == [3, -2]
    assert checked.site_properties == {}


@given(st.floats(0.999, 1.001))
def test_an_occupancy_of_at_least_0_999_counts_as_full(occupancy: float) -> None:
    structure = Structure(CUBE, [{"Na": min(occupancy, 1)}, "Cl"], CORNER_AND_CENTRE)
    assert check_structure(structure).is_ordered


@given(st.floats(0.01, 0.9989))
def test_partial_occupancy_is_refused_and_the_site_named(occupancy: float) -> None:
    structure = Structure(CUBE, ["Cl", {"Na": occupancy}], CORNER_AND_CENTRE)
    with pytest.raises(
        StructureError, match=r"site 2 \(Na:.*partially occupied.*0.999"
    ):
        check_structure(structure)


def test_a_site_shared_by_two_elements_is_refused() -> None:
    structure = Structure(CUBE, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match=r"site 1 .*partially occupied or shared"):
        check_structure(structure)


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("Rf", "holds element 104; .* up to Z = 103"),
        ("Og", "holds element 118"),
        ("Xx", "'Xx', which is not a chemical element"),
    ],
)
def test_elements_without_properties_are_refused(element: str, reason: str) -> None:
    with pytest.raises(StructureError, match=reason):
        check_structure(Structure(CUBE, [element], [[0, 0, 0]]))


def test_the_heaviest_supported_element_is_lawrencium() -> None:
    assert check_structure(Structure(CUBE, ["Lr"], [[0, 0, 0]])).formula == "Lr1"


def test_a_structure_without_sites_is_refused() -> None:
    with pytest.raises(StructureError, match="has no sites; at least one atom"):
        check_structure(Structure(CUBE, [], []))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_coordinate_that_is_not_finite_is_refused(bad: float) -> None:
    structure = Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0, bad, 0]])
    with pytest.raises(StructureError, match=r"site 2 \(Cl\).*not a finite number"):
        check_structure(structure)


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        ([[4, 0, 0], [8, 0, 0], [0, 0, 4]], "almost no volume"),
        ([[4, 0, 0], [4, 1e-4, 0], [0, 0, 4]], "almost no volume"),
        ([[0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]], "almost no volume"),
        ([[4e9, 0, 0], [0, 4e9, 0], [0, 0, 4e9]], "4e\\+09 Å, at most 10000 Å"),
        ([[4, 0, 0], [0, 4, 0], [0, 0, 10001]], "at most 10000 Å is supported"),
        ([[4, 0, 0], [0, np.nan, 0], [0, 0, 4]], "not finite"),
    ],
)
def test_a_lattice_that_spans_no_cell_is_refused(
    matrix: list[list[float]], reason: str
) -> None:
    with pytest.raises(StructureError, match=reason):
        check_structure(Structure(Lattice(matrix), ["Na"], [[0, 0, 0]]))


def test_a_slab_is_refused() -> None:
    lattice = Lattice(np.eye(3) * 4, pbc=(True, True, False))
    with pytest.raises(StructureError, match="periodic along 2 of its 3 vectors"):
        check_structure(Structure(lattice, ["Na"], [[0, 0, 0]]))


@given(st.floats(0, 0.099), st.integers(-2, 2))
def test_sites_closer_than_a_tenth_of_an_angstrom_overlap(
    distance: float, cells: int
) -> None:
    coords = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5 + distance / 4, 0.5 + cells, 0.5]]
    structure = Structure(CUBE, ["Na", "Cl", "Br"], coords)
    with pytest.raises(StructureError, match=r"2 \(Cl\) and 3 \(Br\) overlap"):
        check_structure(structure)


def test_sites_just_over_a_tenth_of_an_angstrom_apart_are_accepted() -> None:
    structure = Structure(CUBE, ["H", "H"], [[0, 0, 0], [0.101 / 4, 0, 0]])
    assert len(check_structure(structure)) == 2


def crystal_of(structure: Structure) -> Crystal:
    return Crystal.from_structure(structure)


def test_sound_arrays_come_back_as_they_are() -> None:
    crystal = crystal_of(Structure(CUBE, ["Na", "Cl"], CORNER_AND_CENTRE))
    assert check_crystal(crystal) is crystal


@pytest.mark.parametrize("gap", [0.05, 0.099, 0.101, 0.15, 0.3])
@pytest.mark.parametrize("vector", [[1, 0, 0], [0, 0, 1], [0.6, 0.8, 0]])
@pytest.mark.parametrize("shear", [0, 7])
def test_arrays_are_held_to_the_same_distances(
    gap: float, vector: list[float], shear: int
) -> None:
    lattice = Lattice([[4, 0, 0], [4 * shear, 4, 0], [0, 0, 4]])
    coords = np.array([[3.99, 0.01, 3.98], np.array([3.99, 0.01, 3.98])])
    coords[1] += gap * np.array(vector)
    structure = Structure(lattice, ["Na", "Cl"], coords, coords_are_cartesian=True)
    if gap < MIN_DISTANCE:
        with pytest.raises(StructureError, match=r"1 \(Na\) and 2 \(Cl\) overlap"):
            check_crystal(crystal_of(structure))
    else:
        assert check_crystal(crystal_of(structure)).n_sites == 2


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (Crystal(np.eye(3), np.zeros((0, 3)), np.zeros(0), np.zeros(0)), "no sites"),
        (
            Crystal(np.eye(3), np.full((1, 3), np.nan), np.array([11]), np.zeros(1)),
            "coordinate that is not a finite number",
        ),
        (
            Crystal(np.ones((3, 3)), np.zeros((1, 3)), np.array([11]), np.zeros(1)),
            "almost no volume",
        ),
        (
            Crystal(
                np.diag([1, 1, np.inf]), np.zeros((1, 3)), np.array([11]), np.zeros(1)
            ),
            "not finite",
        ),
        (
            Crystal(
                np.diag([0.05, 4, 4]), np.zeros((1, 3)), np.array([11]), np.zeros(1)
            ),
            "sites 1 .* and 1 .* overlap",
        ),
        (
            Crystal(4 * np.eye(3), np.zeros((1, 3)), np.array([104]), np.zeros(1)),
            "holds element 104",
        ),
    ],
)
def test_bad_arrays_get_the_reasons_of_structures(
    crystal: Crystal, message: str
) -> None:
    with pytest.raises(StructureError, match=message):
        check_crystal(crystal)
