"""Structures from the arrays that a packed store keeps of them."""

import numpy as np
from pymatgen.core import Lattice, Structure


def rebuild_structure(
    lattice: np.ndarray, frac_coords: np.ndarray, atomic_numbers: np.ndarray
) -> Structure:
    """Return the crystal of these arrays, without oxidation states.

    Args:
        lattice: (3, 3) lattice vectors as rows, Å.
        frac_coords: (n, 3) fractional coordinates.
        atomic_numbers: (n,) atomic number of each site.
    """
    numbers = [int(z) for z in atomic_numbers]
    return Structure(Lattice(np.asarray(lattice)), numbers, np.asarray(frac_coords))
