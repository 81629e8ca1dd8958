"""Formulas from atomic numbers alone: what pymatgen says of the structure."""

import pytest
from pymatgen.core import Lattice, Structure

from sitenet_core.structures.formulas import formulas_of
from sitenet_core.structures.grouping import composition_key


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@pytest.mark.parametrize(
    "elements",
    [
        ["O", "O", "Fe", "O", "Fe"],
        ["Na+", "Cl-", "Na+", "Cl-"],
        # pymatgen's special cases: elements of two atoms, polyanions, peroxides
        ["O"],
        ["Li", "O"],
        ["Ca", *["N"] * 2, *["O"] * 6],
        # equal or missing electronegativities: the order of the sites decides
        ["Ru", "Pd", "Ag"],
        ["Ne", "He", "Ar", "Xe"],
    ],
)
def test_formulas_are_those_of_the_structure(elements: list[str]) -> None:
    coords = [[i / len(elements), 0, 0] for i in range(len(elements))]
    structure = Structure(Lattice.cubic(10), elements, coords)
    found = formulas_of(list(structure.atomic_numbers))
    assert found.full == structure.composition.element_composition.formula
    assert found.reduced == composition_key(structure)
