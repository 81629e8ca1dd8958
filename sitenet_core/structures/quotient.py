"""The quotient of a crystal: sites and pairs that the network cannot tell apart, once.

Convention: the supercell has n·m atoms, m images of each of the n unique sites. A block
(a, b) is all pairs of a site a with the images of a site b. Blocks a ≤ b are kept, in
the order (0, 0), (0, 1), … (0, n-1), (1, 1), …; block (b, a) has the same distances.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quotient:
    """Sites and pairs of a crystal, equal ones merged."""

    site_index: np.ndarray
    """(n,) the merged site that each unique site belongs to."""
    representatives: np.ndarray
    """(n_s,) the first unique site of each merged site, ascending."""
    sizes: np.ndarray
    """(n_s,) unique sites of each merged site."""
    pairs_per_block: np.ndarray
    """(n_s(n_s+1)/2,) merged pairs of each block."""
    distance: np.ndarray
    """(n_half,) Å, ascending within a block; 0 for a site itself."""
    multiplicity: np.ndarray
    """(n_half,) atoms of class b at that distance from one site of class a."""

    @property
    def n_pairs(self) -> int:
        """Number of merged pairs, those of blocks (b, a) too."""
        n_sites = len(self.sizes)
        first, second = np.triu_indices(n_sites)
        return int(((1 + (first < second)) * self.pairs_per_block).sum())


def half_blocks(distances: np.ndarray) -> np.ndarray:
    """Return the blocks i ≤ j (n(n+1)/2, m) of distances (n, n·m)."""
    n_sites, n_atoms = distances.shape
    blocks: np.ndarray = distances.reshape(n_sites, n_sites, n_atoms // n_sites)
    return blocks[np.triu_indices(n_sites)]


def trivial_quotient(distances: np.ndarray) -> Quotient:
    """Return the quotient that merges nothing.

    Args:
        distances: (n, n·m) Å, of each site to the images of each; see
            `distances.pair_distances`.
    """
    half = half_blocks(distances)
    every = np.arange(len(distances))
    return Quotient(
        site_index=every,
        representatives=every,
        sizes=np.ones_like(every),
        pairs_per_block=np.full(half.shape[0], half.shape[1]),
        distance=np.sort(half, axis=1).reshape(-1),
        multiplicity=np.ones(half.size, dtype=np.int64),
    )
