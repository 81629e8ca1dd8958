"""The coarsest stable colouring of the sites of a crystal.

Colours begin as species. A round splits the sites of a colour by the multiset, over all
atoms j of the supercell, of (colour of j, id of the distance to j). Sites whose colours
no round splits get equal features from any network that aggregates over those pairs
(Weisfeiler and Leman, 1968; Xu et al., arXiv:1810.00826, section 4).

Rounds compare sums of pseudo-random numbers instead of multisets. Equal multisets have
equal sums, so a sum never splits too much. At the end the multisets themselves are
compared, so that unequal ones with equal sums, should they occur, cost time and nothing
else.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """Ids of the distances of all pairs of a crystal."""

    ids: np.ndarray
    """(1 + n(n-1)/2, m) int: images of a site around itself, id 0 first and only
    there; then those of site j around site i, for all i < j row by row."""
    n_sites: int
    """n."""
    n_ids: int

    def blocks(self) -> np.ndarray:
        """Return (n, n), the row of `ids` that holds the pairs of i and j."""
        n = self.n_sites
        rows = np.zeros((n, n), dtype=np.int64)
        rows.reshape(-1)[upper(n, diagonal=False)] = np.arange(1, len(self.ids))
        return rows + rows.T


def upper(n: int, *, diagonal: bool = True) -> np.ndarray:
    """Return the flat indices of the upper triangle of a matrix (n, n), by rows."""
    rows = np.arange(n)
    above = rows[:, None] <= rows if diagonal else rows[:, None] < rows
    return np.flatnonzero(above)


def stable_colours(pairs: Pairs, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coarsest stable colouring that starts from `species` (n,) int.

    Returns:
        (n,) colours, 0, 1, … in order of first appearance; and (n_colours, n·m), for
        one site of each colour, the sorted colour·n_ids + id of all atoms around it.
    """
    blocks = pairs.blocks()
    colours = _by_sums(pairs, blocks, np.unique(species, return_inverse=True)[1])
    while True:
        first = np.unique(colours, return_index=True)[1]
        if len(first) == len(colours):
            return colours, _rows(pairs, blocks, colours)
        rows = _rows(pairs, blocks, colours)
        if (rows == rows[first[colours]]).all():
            return colours, rows[first]
        # a site's own colour is in its row: only its pair with itself has id 0
        colours = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
        colours = numbered(colours)


def numbered(labels: np.ndarray) -> np.ndarray:
    """Return the labels (n,) as 0, 1, … in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Return (k,) pseudo-random uint64 for integers (k,), the same in every run.

    The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed_up: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed_up


def _by_sums(pairs: Pairs, blocks: np.ndarray, species: np.ndarray) -> np.ndarray:
    """Return colours that no sum splits; stable ones, or coarser."""
    of_ids = mixed(np.arange(pairs.n_ids))
    sums = of_ids[pairs.ids].sum(axis=1)[blocks]
    of_colours = mixed(np.arange(len(species)) + pairs.n_ids)
    colours, count = species, 0
    # a site's own colour is in its sum too
    while count < colours.max() + 1 < len(species):
        count = colours.max() + 1
        around = sums @ of_colours[colours]
        colours = np.unique(around, return_inverse=True)[1].reshape(-1)
    return numbered(colours * len(species) + species)


def _rows(pairs: Pairs, blocks: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return (n, n·m), sorted colour·n_ids + id of all atoms around each site."""
    largest = (int(colours.max()) + 1) * pairs.n_ids
    dtype = np.int32 if largest <= np.iinfo(np.int32).max else np.int64
    offsets = (colours * pairs.n_ids).astype(dtype)
    rows = pairs.ids.astype(dtype)[blocks] + offsets[:, None]
    flat: np.ndarray = rows.reshape(pairs.n_sites, -1)
    flat.sort(axis=1)
    return flat
