"""The supercell of a crystal, independent of how the crystal is written down.

The rule of `supercell.scaling_matrix` depends on the ordered basis of the primitive
lattice. Niggli or Minkowski reduction alone does not fix that basis: where lengths or
angles tie, rotation, rounding and the input's basis decide. So `cell.reduction:
canonical` goes further:

1. Minkowski-reduce the primitive lattice, so that the lengths of the basis vectors are
   its successive minima.
2. Take all bases of those lengths (all that tie within `LENGTH_TIE`, in every order;
   signs never change the supercell) and keep those with the smallest |cosines|
   (γ, β, α; then their signed product), compared lexicographically within
   `COSINE_TIE`. All that remain are images of one another under a (pseudo-)symmetry of
   the lattice: at most 24, half the order of the cubic point group.
3. Give each its supercell and keep one basis per distinct sublattice.
4. Keep the supercell with the smallest distance fingerprint (`fingerprint`).

Every step is a function of the set of bases, so nothing depends on the input's basis,
orientation, origin or site order. Supercells that step 4 cannot tell apart give the
network the same input.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.fingerprint import smallest, smallest_supercells
from sitenet_core.structures.lattice import hermite_normal_form, minkowski_basis
from sitenet_core.structures.supercell import scaling_matrix

LENGTH_TIE = 1e-4
"""Lengths that differ by less than this part of the shortest one tie."""
COSINE_TIE = 1e-4
"""|Cosines| that differ by less than this tie."""
SCALING_TIE = 1e-4
"""Ties of the greedy supercell rule: as coarse as the ties of the bases, so that the
noise of a rounded CIF file does not decide what the fingerprint should."""
LARGEST_COEFFICIENT = 2
"""Coefficients searched for vectors as short as those of a reduced basis."""


@dataclass(frozen=True)
class Supercell:
    """A primitive cell in the basis that decides its supercell."""

    crystal: Crystal
    scaling: np.ndarray
    """(3, 3) int64; the supercell lattice is `scaling @ crystal.lattice`."""
    n_tied: int = 1
    """Distinct sublattices among which the fingerprint decided."""


def canonical_supercell(crystal: Crystal, max_atoms: int) -> Supercell:
    """Return the supercell with at most `max_atoms` atoms, chosen as above.

    The Site-Net papers claim this invariance (arXiv:2209.08190, section 3.2); the
    published code lacks it.

    Raises:
        StructureError: if the cell has no volume.
    """
    reduced = crystal.in_basis(minkowski_basis(crystal.lattice))
    distinct: dict[tuple[tuple[int, ...], ...], Supercell] = {}
    for basis in reduced_bases(reduced.lattice):
        lattice = basis @ reduced.lattice
        scaling = scaling_matrix(lattice, crystal.n_sites, max_atoms, SCALING_TIE)
        key = hermite_normal_form(scaling @ basis)
        if key not in distinct:
            distinct[key] = Supercell(reduced.in_basis(basis), scaling)
    candidates = list(distinct.values())
    chosen = smallest_supercells([(c.crystal, c.scaling) for c in candidates])[0]
    best = candidates[chosen]
    return Supercell(best.crystal, best.scaling, n_tied=len(candidates))


def reduced_bases(lattice: np.ndarray) -> np.ndarray:
    """Return the bases (k, 3, 3), integer, of a Minkowski-reduced lattice that tie.

    One basis stands for all eight signs of its vectors.
    """
    axis = range(-LARGEST_COEFFICIENT, LARGEST_COEFFICIENT + 1)
    coefficients = np.array(
        [c for c in itertools.product(axis, repeat=3) if c > (0,) * 3]
    )
    lengths = np.linalg.norm(coefficients @ lattice, axis=1)
    minima = np.linalg.norm(lattice, axis=1)
    slots = [
        np.flatnonzero(np.abs(lengths - minimum) <= LENGTH_TIE * minima.min())
        for minimum in minima
    ]
    triples = np.stack(np.meshgrid(*slots, indexing="ij"), axis=-1).reshape(-1, 3)
    bases = coefficients[triples]
    bases = bases[np.abs(np.rint(np.linalg.det(bases))) == 1]
    tied: np.ndarray = bases[smallest(_cosines(bases @ lattice), COSINE_TIE)]
    return tied


def _cosines(lattices: np.ndarray) -> np.ndarray:
    """Return (k, 4) |cos γ|, |cos β|, |cos α| and the product of the signed three."""
    units = lattices / np.linalg.norm(lattices, axis=2, keepdims=True)
    gram = units @ units.transpose(0, 2, 1)
    signed = np.stack([gram[:, 0, 1], gram[:, 0, 2], gram[:, 1, 2]], axis=1)
    return np.column_stack([np.abs(signed), signed.prod(axis=1)])
