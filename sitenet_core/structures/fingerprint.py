"""Which of several supercells of one crystal has the smallest distances.

All comparisons are lexicographic with a tolerance: the candidates within the tolerance
of the smallest value stay in, whatever their order. Stages, from coarse to exact:

* sorted distances of each pair of species, within `COARSE`;
* the same within `FINE`;
* colour refinement (1-WL with continuous colours) on the graph of all pairs: it sees
  what the network sees, so candidates that still tie are equal for it.

The coarse stage makes the choice stable against the noise of rounded input files.
"""

from collections.abc import Sequence

import numpy as np

from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.distances import SupercellMetric

COARSE = 1e-3
"""Å; differences below it are first treated as noise."""
FINE = 1e-9
"""Å; supercells whose distances differ by less are the same."""
SAME_COLOUR = 1e-10
"""Colours (dimensionless, of order one) that differ by less are the same."""
REFINEMENTS = 3
"""Rounds of colour refinement; the network has about as many blocks."""
MAX_KEPT = 1_000_000
"""Distances kept per candidate; more are computed again when they are needed."""

_Candidate = tuple[Crystal, np.ndarray]
_Classes = list[tuple[np.ndarray, np.ndarray]]


def smallest(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the rows of `values` (k, p) that are lexicographically smallest.

    Column by column, the rows further than `tolerance` above the smallest are dropped.
    """
    alive = np.arange(len(values))
    while len(alive) > 1:
        excess = values[alive] - values[alive].min(axis=0) > tolerance
        columns = np.flatnonzero(excess.any(axis=0))
        if len(columns) == 0:
            break
        alive = alive[~excess[:, columns[0]]]
    return alive


def smallest_supercells(candidates: Sequence[_Candidate]) -> list[int]:
    """Return the indices of the candidates that no stage can tell apart.

    Each candidate is a crystal and its scaling matrix; all describe one crystal, with
    the sites in the same order, and have supercells of one size.
    """
    alive = list(range(len(candidates)))
    if len(alive) == 1:
        return alive
    species = species_ranks(candidates[0][0])
    classes = _classes(species)
    graphs = [_PairGraph(one, species, classes) for one in candidates]
    for tolerance in (COARSE, FINE):
        for index in range(len(classes)):
            rows = [graphs[k].sorted_distances(index) for k in alive]
            alive = [alive[k] for k in smallest(np.stack(rows), tolerance)]
            if len(alive) == 1:
                return alive
    colours = np.stack([graphs[k].colours() for k in alive])
    return [alive[k] for k in smallest(colours, SAME_COLOUR)]


class _PairGraph:
    """The pairs of one supercell, by classes of species pairs, computed on demand."""

    def __init__(
        self, candidate: _Candidate, species: np.ndarray, classes: _Classes
    ) -> None:
        self.crystal, scaling = candidate
        self.metric = SupercellMetric.of(self.crystal.lattice, scaling)
        self.species = species
        self.classes = classes
        self._kept: dict[int, np.ndarray] = {}
        self._room = MAX_KEPT

    def distances(self, index: int) -> np.ndarray:
        """Return (p, m) Å, the distances of the pairs of class `index`."""
        if index in self._kept:
            return self._kept[index]
        first, second = self.classes[index]
        found = self.metric.distances(
            self.crystal.frac[second] - self.crystal.frac[first]
        )
        if found.size <= self._room:
            self._room -= found.size
            self._kept[index] = found
        return found

    def sorted_distances(self, index: int) -> np.ndarray:
        """Return all distances of class `index`, Å, in ascending order."""
        return np.sort(self.distances(index), axis=None)

    def colours(self) -> np.ndarray:
        """Return the sorted colours of the sites after each round of refinement.

        A site's new colour is half its old one and the mean, over all atoms j of the
        supercell, of f(d)·c + g(d)·c² with j's old colour c: slopes of order one, so
        that noise in the distances stays noise in the colours.
        """
        near, wave = self._kernels()
        colour = (1.0 + self.species) / (1.0 + self.species.max())
        rounds = []
        for _ in range(REFINEMENTS):
            colour = 0.5 * colour + near @ colour + wave @ colour**2
            rounds.append(colour[np.lexsort((colour, self.species))])
        return np.concatenate(rounds)

    def _kernels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return 1/(1+d) and cos(d) as (n, n) sums over images, divided by n·m."""
        n = len(self.species)
        near, wave = np.zeros((n, n)), np.zeros((n, n))
        for index, (first, second) in enumerate(self.classes):
            d = self.distances(index)
            near[first, second] = near[second, first] = (1 / (1 + d)).mean(axis=1) / n
            wave[first, second] = wave[second, first] = np.cos(d).mean(axis=1) / n
        np.fill_diagonal(near, near[0, 0])
        np.fill_diagonal(wave, wave[0, 0])
        return near, wave


def species_ranks(crystal: Crystal) -> np.ndarray:
    """Return (n,) int, ranks of the sites' species: element and oxidation state."""
    labels = np.column_stack([crystal.numbers, crystal.oxidation])
    return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)


def _classes(species: np.ndarray) -> _Classes:
    """Return the pairs (first sites, second sites) of each pair of species.

    The first class is one site with itself: the lengths of the coset vectors, which
    depend on the lattice alone. The others follow in order of size, so that cheap ones
    decide before dear ones are computed. Of (i, j) and (j, i) one stands for both.
    """
    first, second = np.triu_indices(len(species), k=1)
    low = np.minimum(species[first], species[second])
    high = np.maximum(species[first], species[second])
    _, members, sizes = np.unique(
        low * (species.max() + 1) + high, return_inverse=True, return_counts=True
    )
    own = np.zeros(1, dtype=np.int64)
    classes = [(own, own)]
    for kind in np.argsort(sizes, kind="stable"):
        pairs = np.flatnonzero(members.reshape(-1) == kind)
        classes.append((first[pairs], second[pairs]))
    return classes
