"""Keys of crystals that must not sit on both sides of a split.

Two crystals of one composition are polymorphs or duplicates; two of one prototype are
the same arrangement of other elements (NaCl and KBr). Both keys are plain text and are
equal for every description of a crystal: cell, basis, origin and order of sites.
"""

import warnings
from collections import Counter, defaultdict
from functools import reduce
from math import gcd
from string import ascii_uppercase

import numpy as np
import spglib
from pymatgen.core import Structure

SYMMETRY_PRECISION = 0.1
"""Distance in Å within which atoms are taken for symmetry images: wide, so that
relaxed near-copies of an ideal prototype still carry its key."""

# A distortion that lies just at the tolerance is judged by the description of the
# crystal after all: with sites sorted, one of 3000 perovskites and 6 of 1500 Matbench
# structures changed their key under a change of basis, origin, order and cell.


def composition_key(structure: Structure) -> str:
    """Return the reduced formula, without oxidation states (`Fe2O3`)."""
    return str(structure.composition.element_composition.reduced_formula)


def prototype_key(structure: Structure) -> str:
    """Return the prototype of `structure`: `AB|225|1,1` for rock salt.

    The parts are the anonymous formula, the number of the space group (symmetry found
    within 0.1 Å, oxidation states ignored) and, per element, the sizes of its orbits
    in the primitive cell (`1+2` for two orbits). Elements are told apart by their
    orbits alone, so that any substitution of one element for another keeps the key.
    Where spglib finds no symmetry, number and sizes are replaced by `unknown`.
    """
    numbers = np.array([site.specie.Z for site in structure])
    # spglib starts from an atom of the rarest element, the first one on ties.
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    dataset = _symmetry(structure.lattice.matrix, structure.frac_coords[order], numbers)
    if dataset is None:
        return f"{_anonymous_formula(list(Counter(numbers.tolist()).values()))}|unknown"
    primitive = np.unique(dataset.mapping_to_primitive, return_index=True)[1]
    sizes: defaultdict[tuple[int, int], int] = defaultdict(int)
    for atom in primitive:
        sizes[int(numbers[atom]), int(dataset.crystallographic_orbits[atom])] += 1
    orbits: defaultdict[int, list[int]] = defaultdict(list)
    for (number, _), size in sizes.items():
        orbits[number].append(size)
    rows = sorted((sum(row), sorted(row)) for row in orbits.values())
    formula = _anonymous_formula([count for count, _ in rows])
    parts = ",".join("+".join(map(str, row)) for _, row in rows)
    return f"{formula}|{dataset.number}|{parts}"


def _symmetry(
    lattice: np.ndarray, positions: np.ndarray, numbers: np.ndarray
) -> "spglib.SpglibDataset | None":
    cell = (lattice, positions, numbers)
    with warnings.catch_warnings():
        # spglib 2.8 announces that failure will raise one day instead of giving None.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return spglib.get_symmetry_dataset(cell, symprec=SYMMETRY_PRECISION)
        except spglib.SpglibError:
            return None


def _anonymous_formula(counts: list[int]) -> str:
    """Return the formula with letters for elements, rarest first: `AB2C4`."""
    divisor = reduce(gcd, counts)
    names = [*ascii_uppercase, *(f"({i})" for i in range(27, 120))]
    return "".join(
        name + (str(count // divisor) if count > divisor else "")
        for name, count in zip(names, sorted(counts), strict=False)
    )
