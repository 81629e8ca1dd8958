"""The primitive cell, found by a rule that does not depend on how the cell is written.

pymatgen's search (`cell.primitive_cell`) measures its tolerance along each lattice
vector and takes the first sublattice that fits, so that another basis of the same
crystal, or a supercell of it, can end in another cell (1 % of dense carbon structures
at 0.5 Å). Here the tolerance is a distance, every sublattice of prime index is tried,
and the one with the smallest residual is taken, until none is left. Exact translations
have no residual and are therefore taken first.
"""

import itertools
from dataclasses import dataclass
from math import gcd

import numpy as np

from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.fingerprint import smallest, species_ranks
from sitenet_core.structures.lattice import hermite_normal_form, minkowski_basis

RESIDUAL_TIE = 1e-6
"""Å; residuals that differ by less are equal."""
FEW = 8
"""Candidates that are tested one by one."""
NEIGHBOURS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True)
class _Translation:
    """A sublattice of prime index under which all sites match."""

    prime: int
    vector: np.ndarray
    """(3,) int; the translation is `vector / prime` in fractional coordinates."""
    partners: np.ndarray
    """(prime, n) int: the site nearest to each site after 0, 1, … translations."""
    residual: tuple[float, float]
    """Å: largest and root-mean-square distance of matched sites."""


def invariant_primitive_cell(crystal: Crystal, tolerance: float | None) -> Crystal:
    """Return the primitive cell in a reduced basis, matched sites averaged.

    Args:
        crystal: Any cell.
        tolerance: Å, largest distance of a site from its translated copy; None only
            reduces the basis.

    Raises:
        StructureError: if the cell has no volume.
    """
    while True:
        crystal = crystal.in_basis(minkowski_basis(crystal.lattice))
        found = [] if tolerance is None else _translations(crystal, tolerance)
        if not found:
            return crystal
        residuals = np.array([one.residual for one in found])
        crystal = _folded(crystal, found[smallest(residuals, RESIDUAL_TIE)[0]])


def _translations(crystal: Crystal, tolerance: float) -> list[_Translation]:
    species = species_ranks(crystal)
    units = gcd(*np.bincount(species).tolist())
    if units == 1:
        return []
    groups = [np.flatnonzero(species == k) for k in range(species.max() + 1)]
    rarest = crystal.frac[min(groups, key=len)]
    found = []
    for prime in _prime_factors(units):
        for vector in _candidates(crystal.lattice, rarest, prime, tolerance):
            one = _matched(crystal, groups, (prime, vector), tolerance)
            if one is not None:
                found.append(one)
    return found


def _prime_factors(number: int) -> list[int]:
    return [
        p
        for p in range(2, number + 1)
        if number % p == 0 and all(p % q for q in range(2, p))
    ]


def _candidates(
    lattice: np.ndarray, frac: np.ndarray, prime: int, tolerance: float
) -> list[np.ndarray]:
    """Return one vector per subgroup of order `prime` that maps site 0 near a site."""
    offsets = frac - frac[0]
    points = np.rint(prime * offsets)[:, None, :] + NEIGHBOURS
    errors = (points / prime - offsets[:, None, :]) @ lattice
    close = np.einsum("ijk,ijk->ij", errors, errors) <= tolerance**2
    distinct = sorted(set(map(tuple, (points[close].astype(int) % prime).tolist())))
    subgroups: dict[tuple[int, ...], None] = {}
    for vector in distinct:
        leading = next((x for x in vector if x), 0)
        if leading:
            inverse = pow(leading, -1, prime)
            subgroups[tuple(x * inverse % prime for x in vector)] = None
    vectors = np.array(list(subgroups)).reshape(-1, 3)
    for site in frac[1:]:
        # most candidates fail at one of the next sites: test those all at once
        if len(vectors) <= FEW:
            break
        apart = frac[None, :, :] - site - vectors[:, None, :] / prime
        errors = (apart - np.rint(apart)) @ lattice
        squares = np.einsum("ijk,ijk->ij", errors, errors)
        vectors = vectors[squares.min(axis=1) <= tolerance**2]
    return list(vectors)


def _matched(
    crystal: Crystal,
    groups: list[np.ndarray],
    translation: tuple[int, np.ndarray],
    tolerance: float,
) -> _Translation | None:
    """Return the translation if it maps every species one to one, else None."""
    prime, vector = translation
    partners = np.tile(np.arange(crystal.n_sites), (prime, 1))
    squares = np.zeros((prime, crystal.n_sites))
    for power, group in itertools.product(range(1, prime), groups):
        frac = crystal.frac[group]
        apart = frac[None, :, :] - frac[:, None, :] - power * vector / prime
        cartesian = (apart - np.rint(apart)) @ crystal.lattice
        distances = np.einsum("ijk,ijk->ij", cartesian, cartesian)
        nearest = distances.argmin(axis=1)
        found = distances[np.arange(len(group)), nearest]
        if found.max() > tolerance**2 or len(set(nearest.tolist())) < len(group):
            return None
        partners[power, group] = group[nearest]
        squares[power, group] = found
    if not _is_cyclic(partners):
        return None
    residual = float(np.sqrt(squares.max())), float(np.sqrt(squares[1:].mean()))
    return _Translation(prime, vector, partners, residual)


def _is_cyclic(partners: np.ndarray) -> bool:
    """Return whether repeating the translation visits a new site each time."""
    repeated = partners[1][partners[:-1]]
    moves = bool((partners[1] != partners[0]).all())
    return moves and np.array_equal(repeated, partners[1:])


def _folded(crystal: Crystal, by: _Translation) -> Crystal:
    """Return the cell `by.prime` times smaller, each orbit at its mean position."""
    orbits = np.sort(by.partners, axis=0)[0]
    kept = np.unique(orbits)
    shifts = np.arange(by.prime)[:, None, None] * by.vector / by.prime
    copies = crystal.frac[by.partners[:, kept]] - shifts
    offsets = copies - crystal.frac[kept]
    mean = crystal.frac[kept] + (offsets - np.rint(offsets)).mean(axis=0)
    finer = _refined_basis(by.vector, by.prime) / by.prime
    return Crystal(
        finer @ crystal.lattice,
        mean @ np.linalg.inv(finer),
        crystal.numbers[kept],
        crystal.oxidation[kept],
    )


def _refined_basis(vector: np.ndarray, prime: int) -> np.ndarray:
    """Return prime times a basis of the lattice spanned by Z³ and vector/prime."""
    leading = int(np.flatnonzero(vector)[0])
    rows = prime * np.eye(3, dtype=np.int64)
    # the leading entry is 1, so the vector replaces its unit vector
    rows[leading] = vector
    return np.array(hermite_normal_form(rows))
