"""Random ways to write the same crystal differently, for physics tests.

Each function takes a `numpy.random.Generator` and returns a new structure; site
properties and oxidation states follow their sites.
"""

import numpy as np
from pymatgen.core import Lattice, Structure

N_SHEARS = 4


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return a proper rotation matrix (3, 3), uniform over SO(3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def random_unimodular(rng: np.random.Generator, largest: int = 3) -> np.ndarray:
    """Return an integer (3, 3) matrix with |det| = 1 and entries up to `largest`."""
    while True:
        matrix = np.eye(3, dtype=int)[rng.permutation(3)] * rng.choice([-1, 1], 3)
        for _ in range(N_SHEARS):
            i, j = rng.permutation(3)[:2]
            matrix[i] += int(rng.integers(-largest, largest + 1)) * matrix[j]
        if 0 < np.abs(matrix).max() <= largest:
            return matrix


def rebuilt(structure: Structure, lattice: np.ndarray, frac: np.ndarray) -> Structure:
    """Return `structure` with another lattice (rows, Å) and fractional coordinates."""
    return Structure(
        Lattice(lattice),
        structure.species,
        frac,
        site_properties=structure.site_properties,
    )


def rotated(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the crystal turned in space by a random rotation."""
    lattice = structure.lattice.matrix @ random_rotation(rng)
    return rebuilt(structure, lattice, structure.frac_coords)


def translated(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the crystal with all sites moved by the same random vector."""
    frac = structure.frac_coords + rng.uniform(-1, 1, 3)
    return rebuilt(structure, structure.lattice.matrix, frac)


def permuted(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the crystal with its sites listed in random order."""
    order = rng.permutation(len(structure))
    return Structure.from_sites([structure[int(i)] for i in order])


def rebased(
    structure: Structure, rng: np.random.Generator, largest: int = 3
) -> Structure:
    """Return the crystal in another basis of the same lattice."""
    matrix = random_unimodular(rng, largest)
    frac = structure.frac_coords @ np.rint(np.linalg.inv(matrix))
    return rebuilt(structure, matrix @ structure.lattice.matrix, frac)


def rewrapped(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the crystal with every site moved by a random lattice vector."""
    frac = structure.frac_coords + rng.integers(-2, 3, (len(structure), 3))
    return rebuilt(structure, structure.lattice.matrix, frac)


def enlarged(
    structure: Structure, rng: np.random.Generator, largest: int = 2
) -> Structure:
    """Return a supercell of the crystal, 2 to `largest`³ times as large."""
    scaling = np.ones(3, dtype=int)
    while scaling.prod() == 1:
        scaling = rng.integers(1, largest + 1, 3)
    return structure.make_supercell(scaling.tolist(), in_place=False)


def scrambled(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the same crystal, same number of sites, written in every other way."""
    for change in (rebased, rotated, translated, permuted, rewrapped):
        structure = change(structure, rng)
    return structure
