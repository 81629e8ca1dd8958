"""The quotient of a crystal: sites and pairs that the network cannot tell apart, once.

Convention: the supercell has n·m atoms, m images of each of the n unique sites. A block
(a, b) is all pairs of a site a with the images of a site b. Blocks a ≤ b are kept, in
the order (0, 0), (0, 1), … (0, n-1), (1, 1), …; block (b, a) has the same distances.

Every distance is replaced by the value of its id (`distance_ids`); after that all is
exact. Sites of one colour in the coarsest stable colouring (`colours`) have the same
features in every block of the network and are one; so are the pairs of a site with
partners of one colour at one distance.
"""

from dataclasses import dataclass

import numpy as np

from sitenet_core.structures.colours import Pairs, stable_colours, upper
from sitenet_core.structures.distance_ids import distance_ids


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
        # blocks (a, a) are the first of their rows, which get shorter by one
        rows = np.arange(n_sites)
        own = rows * n_sites - rows * (rows - 1) // 2
        of_blocks = self.pairs_per_block
        return int(2 * of_blocks.sum() - of_blocks[own].sum())


def quotient(
    distances: np.ndarray, species: np.ndarray, tolerance: float | None
) -> Quotient:
    """Return the sites and pairs of a crystal, equal ones merged.

    Args:
        distances: (n, n·m) Å, of each site to the images of each, itself first; see
            `distances.pair_distances`.
        species: (n,) int, equal where element and oxidation state are.
        tolerance: Å, the widest range of distances that count as equal; None merges
            nothing.
    """
    if tolerance is None:
        return _unmerged(distances)
    pairs, values = identified(distances, tolerance)
    site_index, rows = stable_colours(pairs, species)
    return _merged(site_index, rows, values)


def identified(distances: np.ndarray, tolerance: float) -> tuple[Pairs, np.ndarray]:
    """Return the ids of all pairs, and the distances (n_ids,), Å, that they stand for.

    Id 0 is a site itself; no other pair has it.

    Args:
        distances: (n, n·m) Å, as for `quotient`.
        tolerance: Å.
    """
    n_sites, n_atoms = distances.shape
    images = n_atoms // n_sites
    own = distances[0, 1:images]
    apart = distances.reshape(n_sites**2, images)[upper(n_sites, diagonal=False)]
    # of the pairs between two sites half are looked at; those within one, once for all
    weights = np.full(own.size + apart.size, 2.0)
    weights[: own.size] = n_sites
    found = distance_ids(np.append(own, apart), weights, tolerance)
    ids = np.append(0, found.ids + 1).reshape(-1, images)
    return Pairs(ids, n_sites, len(found.values) + 1), np.append(0.0, found.values)


def _merged(site_index: np.ndarray, rows: np.ndarray, values: np.ndarray) -> Quotient:
    """Return the quotient of coloured sites.

    Args:
        site_index: (n,) colour of each site, in order of first appearance.
        rows: (n_s, n·m) sorted colour·n_ids + id of all atoms around one site of each
            colour.
        values: (n_ids,) Å.
    """
    n_sites, n_atoms = rows.shape
    changes = np.ones(rows.shape, dtype=bool)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=changes[:, 1:])
    starts = np.flatnonzero(changes)
    counts = np.diff(starts, append=rows.size)
    partner, ids = np.divmod(rows.reshape(-1)[starts], len(values))
    site = starts // n_atoms
    half = partner >= site
    site, partner = site[half], partner[half]
    of_blocks = np.bincount(site * n_sites + partner, minlength=n_sites**2)
    return Quotient(
        site_index=site_index,
        representatives=np.unique(site_index, return_index=True)[1],
        sizes=np.bincount(site_index),
        pairs_per_block=of_blocks[upper(n_sites)],
        distance=values[ids[half]],
        multiplicity=counts[half],
    )


def _unmerged(distances: np.ndarray) -> Quotient:
    n_sites, n_atoms = distances.shape
    blocks = distances.reshape(n_sites**2, -1)[upper(n_sites)]
    every = np.arange(n_sites)
    return Quotient(
        site_index=every,
        representatives=every,
        sizes=np.ones_like(every),
        pairs_per_block=np.full(len(blocks), n_atoms // n_sites),
        distance=np.sort(blocks, axis=1).reshape(-1),
        multiplicity=np.ones(blocks.size, dtype=np.int64),
    )
