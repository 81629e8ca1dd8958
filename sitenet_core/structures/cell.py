"""A crystal as plain arrays, and the primitive cell it is taken in.

Convention: lattice vectors are the rows of `lattice`, in Å; a site's Cartesian position
is `frac @ lattice`. Site-Net, arXiv:2209.08190, section 3.2 ("primitive unit cell").
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from sitenet_core.errors import StructureError

if TYPE_CHECKING:
    from pymatgen.core import Structure

LARGEST_Z = 103
"""The elemental table ends at lawrencium."""


@dataclass(frozen=True)
class Crystal:
    """One cell of a fully occupied crystal."""

    lattice: np.ndarray
    """(3, 3) float64, Å, rows are the lattice vectors."""
    frac: np.ndarray
    """(n, 3) float64, fractional coordinates; any lattice translation is allowed."""
    numbers: np.ndarray
    """(n,) int64, atomic numbers."""
    oxidation: np.ndarray
    """(n,) float64, oxidation states; 0 where the structure has none."""

    @property
    def n_sites(self) -> int:
        """Number of sites of this cell."""
        return len(self.numbers)

    def in_basis(self, basis: np.ndarray) -> Self:
        """Return the same crystal with lattice `basis @ lattice`.

        `basis` is an integer (3, 3) matrix with determinant 1 or -1.
        """
        inverse = np.rint(np.linalg.inv(basis))
        return type(self)(
            basis @ self.lattice, self.frac @ inverse, self.numbers, self.oxidation
        )

    @classmethod
    def from_structure(cls, structure: "Structure | Crystal") -> "Crystal":
        """Return the arrays of a pymatgen structure; those of a crystal are itself.

        Raises:
            StructureError: without sites, with disorder, or with an element past Z=103.
        """
        if isinstance(structure, Crystal):
            return structure
        if len(structure) == 0:
            raise StructureError("structure has no sites; at least one is needed")
        if not structure.is_ordered:
            raise StructureError(
                "structure has partially occupied sites; give an ordered structure"
            )
        species = [site.specie for site in structure]
        for one in species:
            if not 1 <= int(getattr(one, "Z", 0)) <= LARGEST_Z:
                raise StructureError(
                    f"structure has {one}, which has no elemental properties; "
                    f"allowed are the elements with Z from 1 to {LARGEST_Z}"
                )
        states = [float(getattr(one, "oxi_state", None) or 0.0) for one in species]
        return cls(
            lattice=np.array(structure.lattice.matrix, dtype=np.float64),
            frac=np.array(structure.frac_coords, dtype=np.float64),
            numbers=np.array([one.Z for one in species], dtype=np.int64),
            oxidation=np.array(states, dtype=np.float64),
        )

    def to_structure(self) -> "Structure":
        """Return pymatgen's form; an oxidation state of 0 is none."""
        # Deferred: whoever has arrays does without pymatgen.
        from pymatgen.core import Element, Lattice, Species, Structure

        elements = [Element.from_Z(number) for number in self.numbers.tolist()]
        species = [
            Species(element.symbol, state) if state else element
            for element, state in zip(elements, self.oxidation.tolist(), strict=True)
        ]
        return Structure(Lattice(self.lattice), species, self.frac)


def primitive_cell(
    structure: "Structure | Crystal", tolerance: float | None
) -> Crystal:
    """Return the primitive cell that pymatgen finds within `tolerance`.

    Sites whose oxidation states differ are different sites. A cell that pymatgen cannot
    make smaller keeps its own basis and site order; None keeps every cell as given.

    Args:
        structure: A fully occupied structure.
        tolerance: Å along each lattice vector; matched sites are averaged.

    Raises:
        StructureError: if the structure has no arrays (see `Crystal.from_structure`).
    """
    crystal = Crystal.from_structure(structure)
    if tolerance is None or crystal.n_sites == 1:
        return crystal
    if isinstance(structure, Crystal):
        structure = structure.to_structure()
    return Crystal.from_structure(structure.get_primitive_structure(tolerance))
