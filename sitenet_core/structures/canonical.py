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
from sitenet_core.structures.distances import SupercellMetric, pair_distances
from sitenet_core.structures.fingerprint import (
    Candidates,
    smallest,
    smallest_supercells,
    species_ranks,
)
from sitenet_core.structures.lattice import coset_vectors, minkowski_basis
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
SAME_SHAPE = 12
"""Digits of the scalar products, in units of the longest vector squared, that make two
bases one shape: rounding differs, nothing that a supercell depends on does."""

_AXIS = range(-LARGEST_COEFFICIENT, LARGEST_COEFFICIENT + 1)
_COEFFICIENTS = np.array(
    [c for c in itertools.product(_AXIS, repeat=3) if c > (0, 0, 0)]
)


@dataclass(frozen=True)
class Supercell:
    """A primitive cell in the basis that decides its supercell."""

    crystal: Crystal
    scaling: np.ndarray
    """(3, 3) int64; the supercell lattice is `scaling @ crystal.lattice`."""
    n_tied: int = 1
    """Distinct sublattices among which the fingerprint decided."""
    known: np.ndarray | None = None
    """Its distances, where the fingerprint needed them all."""

    def distances(self) -> np.ndarray:
        """Return (n, n·m) Å, see `distances.pair_distances`."""
        if self.known is not None:
            return self.known
        return pair_distances(self.crystal, self.scaling)


def canonical_supercell(crystal: Crystal, max_atoms: int) -> Supercell:
    """Return the supercell with at most `max_atoms` atoms, chosen as above.

    The Site-Net papers claim this invariance (arXiv:2209.08190, section 3.2); the
    published code lacks it.

    Raises:
        StructureError: if the cell has no volume.
    """
    reduced = crystal.in_basis(minkowski_basis(crystal.lattice))
    bases = reduced_bases(reduced.lattice)
    scalings = _scalings(bases @ reduced.lattice, crystal.n_sites, max_atoms)
    kept = _distinct(np.array(scalings) @ bases)
    best, known = kept[0], None
    if len(kept) > 1:
        tied = [scalings[k] for k in kept]
        choice = smallest_supercells(_candidates(reduced, bases[kept], tied), tied)
        best, known = kept[choice.tied[0]], choice.distances
    crystal = reduced.in_basis(bases[best])
    return Supercell(crystal, scalings[best], n_tied=len(kept), known=known)


def _shapes(lattices: np.ndarray) -> list[bytes]:
    """Return a name for the scalar products of each basis (k, 3, 3)."""
    grams = lattices @ lattices.transpose(0, 2, 1)
    return [key.tobytes() for key in np.round(grams / grams.max(), SAME_SHAPE) + 0.0]


def _scalings(lattices: np.ndarray, n_sites: int, max_atoms: int) -> list[np.ndarray]:
    """Return the scaling matrix of each basis, computed once for those of one shape."""
    known: dict[bytes, np.ndarray] = {}
    found = []
    for name, lattice in zip(_shapes(lattices), lattices, strict=True):
        if name not in known:
            known[name] = scaling_matrix(lattice, n_sites, max_atoms, SCALING_TIE)
        found.append(known[name])
    return found


def _distinct(sublattices: np.ndarray) -> np.ndarray:
    """Return the first index of each sublattice among row bases (k, 3, 3), integer.

    A spans a part of the lattice of B iff A·B⁻¹ is integer; of the same number of
    points, it spans all of it. Only the largest are looked at.
    """
    sizes = np.rint(np.abs(np.linalg.det(sublattices)))
    largest = np.flatnonzero(sizes == sizes.max())
    if len(largest) == 1:
        return largest
    rows = sublattices[largest]
    # entries of A·B⁻¹ are multiples of 1/size, far above rounding
    ratios = rows[:, None] @ np.linalg.inv(rows)[None]
    same = (np.abs(ratios - np.rint(ratios)) * sizes.max() < 0.5).all(axis=(2, 3))
    first: np.ndarray = largest[sorted(set(same.argmax(axis=1).tolist()))]
    return first


def _candidates(
    crystal: Crystal, bases: np.ndarray, scalings: list[np.ndarray]
) -> Candidates:
    """Return the supercells of `crystal` in `bases`, ready to be compared."""
    lattices = bases @ crystal.lattice
    known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    shapes = []
    for name, lattice, scaling in zip(
        _shapes(lattices), lattices, scalings, strict=True
    ):
        if name not in known:
            reduced = minkowski_basis(scaling @ lattice) @ scaling
            known[name] = reduced, coset_vectors(scaling)
        shapes.append(known[name])
    reduced = np.stack([shape[0] for shape in shapes])
    metric = SupercellMetric(
        cosets=np.stack([shape[1] for shape in shapes]),
        to_supercell=np.linalg.inv(reduced),
        lattice=reduced @ lattices,
    )
    frac = crystal.frac @ np.rint(np.linalg.inv(bases))
    return Candidates(species_ranks(crystal), frac, metric)


def reduced_bases(lattice: np.ndarray) -> np.ndarray:
    """Return the bases (k, 3, 3), integer, of a Minkowski-reduced lattice that tie.

    One basis stands for all eight signs of its vectors.
    """
    lengths = np.sqrt(((_COEFFICIENTS @ lattice) ** 2).sum(axis=1))
    minima = np.sqrt((lattice**2).sum(axis=1))
    close = np.abs(lengths - minima[:, None]) <= LENGTH_TIE * minima.min()
    if close.sum() == len(minima):
        only: np.ndarray = _COEFFICIENTS[close.argmax(axis=1)][None]
        return only
    slots = [np.flatnonzero(row) for row in close]
    triples = np.stack(np.meshgrid(*slots, indexing="ij"), axis=-1).reshape(-1, 3)
    bases = _COEFFICIENTS[triples]
    bases = bases[np.abs(np.rint(np.linalg.det(bases))) == 1]
    tied: np.ndarray = bases[smallest(_cosines(bases @ lattice), COSINE_TIE)]
    return tied


def _cosines(lattices: np.ndarray) -> np.ndarray:
    """Return (k, 4) |cos γ|, |cos β|, |cos α| and the product of the signed three."""
    units = lattices / np.linalg.norm(lattices, axis=2, keepdims=True)
    gram = units @ units.transpose(0, 2, 1)
    signed = np.stack([gram[:, 0, 1], gram[:, 0, 2], gram[:, 1, 2]], axis=1)
    return np.column_stack([np.abs(signed), signed.prod(axis=1)])
