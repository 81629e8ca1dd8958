"""Which of several supercells of one crystal has the smallest distances.

All comparisons are lexicographic with a tolerance: the candidates within the tolerance
of the smallest value stay in, whatever their order. Stages, from coarse to exact:

* sorted distances of each pair of species, within `COARSE`;
* the same within `FINE`;
* colour refinement (1-WL with continuous colours) on the graph of all pairs: it sees
  what the network sees, so candidates that still tie are equal for it.

The coarse stage makes the choice stable against the noise of rounded input files.
"""

from dataclasses import dataclass

import numpy as np

from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.distances import SupercellMetric, arranged
from sitenet_core.structures.lattice import site_pairs

COARSE = 1e-3
"""Å; differences below it are first treated as noise."""
FINE = 1e-9
"""Å; supercells whose distances differ by less are the same."""
SAME_COLOUR = 1e-10
"""Colours (dimensionless, of order one) that differ by less are the same."""
REFINEMENTS = 3
"""Rounds of colour refinement; the network has about as many blocks."""
MAX_KEPT = 4_000_000
"""Distances kept for all candidates together; more are computed again when needed."""
AT_ONCE = 8192
"""Distances that are worth a round of array calls."""

_Pairs = tuple[np.ndarray, np.ndarray]
"""First and second sites of some pairs."""


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


@dataclass(frozen=True)
class Candidates:
    """k supercells of one size of one crystal, each with a basis of its own."""

    species: np.ndarray
    """(n,) int, rank of each site's species (`species_ranks`)."""
    frac: np.ndarray
    """(k, n, 3) fractional coordinates in the basis of each candidate."""
    metric: SupercellMetric
    """Of the k supercells, in the same bases."""


@dataclass(frozen=True)
class Choice:
    """The candidates that no stage can tell apart."""

    tied: list[int]
    """Their indices."""
    distances: np.ndarray | None
    """`pair_distances` of the first one, where the choice has computed them all."""


def smallest_supercells(candidates: Candidates, scaling: list[np.ndarray]) -> Choice:
    """Return the smallest of some supercells with the matrices `scaling`."""
    pairs = _PairDistances(candidates)
    tied = _compared(pairs, np.arange(len(scaling)))
    return Choice(tied.tolist(), pairs.arranged(tied[0], scaling[tied[0]]))


def _compared(pairs: "_PairDistances", alive: np.ndarray) -> np.ndarray:
    for tolerance in (COARSE, FINE):
        for index in range(len(pairs.classes)):
            if len(alive) == 1:
                return alive
            alive = alive[smallest(pairs.ascending(index, alive), tolerance)]
    if len(alive) > 1:
        alive = alive[smallest(_colours(pairs, alive), SAME_COLOUR)]
    return alive


@dataclass(frozen=True)
class _Class:
    """The distances of the pairs of two species in the candidates alive so far."""

    alive: np.ndarray
    """(k,) indices of the candidates."""
    distances: np.ndarray
    """(k, p, m) Å."""
    ascending: np.ndarray
    """(k, p·m) Å, sorted."""

    def rows(self, alive: np.ndarray) -> np.ndarray | slice:
        """Return where the candidates `alive`, a part of these, are."""
        if len(alive) == len(self.alive):
            return slice(None)
        return np.searchsorted(self.alive, alive)


class _PairDistances:
    """The pairs of all candidates, by classes of species pairs, computed on demand."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self.species = candidates.species
        self.classes = _classes(candidates.species)
        self._kept: dict[int, _Class] = {}
        self._room = MAX_KEPT

    def ascending(self, index: int, alive: np.ndarray) -> np.ndarray:
        """Return (k, p·m) Å, the sorted distances of class `index`."""
        found = self._class(index, alive)
        return found.ascending[found.rows(alive)]

    def distances(self, index: int, alive: np.ndarray) -> np.ndarray:
        """Return (k, p, m) Å, the distances of the pairs of class `index`."""
        found = self._class(index, alive)
        return found.distances[found.rows(alive)]

    def arranged(self, candidate: int, scaling: np.ndarray) -> np.ndarray | None:
        """Return all distances of one candidate (n, n·m), None if some are lacking."""
        blocks = []
        for index in range(len(self.classes)):
            found = self._kept.get(index)
            if found is None:
                return None
            blocks.append(found.distances[np.searchsorted(found.alive, candidate)])
        first, second = (
            np.concatenate([one[side] for one in self.classes])[1:] for side in (0, 1)
        )
        block = np.concatenate(blocks)
        return arranged(block[0], (first, second, block[1:]), scaling)

    def _class(self, index: int, alive: np.ndarray) -> _Class:
        if index in self._kept:
            return self._kept[index]
        found = self._computed(index, alive)
        for number, one in found.items():
            size = 2 * one.distances.size
            if size <= self._room:
                self._room -= size
                self._kept[number] = one
        return found[index]

    def _computed(self, index: int, alive: np.ndarray) -> dict[int, _Class]:
        """Return class `index`, and as many small ones behind it as cost no more."""
        metric = self._candidates.metric
        numbers, n_pairs = [index], len(self.classes[index][0])
        for number in range(index + 1, len(self.classes)):
            n_pairs += len(self.classes[number][0])
            if n_pairs * len(alive) * metric.n_images > AT_ONCE:
                break
            numbers.append(number)
        first, second = (
            np.concatenate([self.classes[number][side] for number in numbers])
            for side in (0, 1)
        )
        if len(alive) < len(metric.cosets):
            metric = metric.only(alive)
        frac = self._candidates.frac[alive]
        computed = metric.distances(frac[:, second] - frac[:, first])
        found, start = {}, 0
        for number in numbers:
            stop = start + len(self.classes[number][0])
            part = computed[:, start:stop]
            ascending = np.sort(part.reshape(len(alive), -1), axis=1)
            found[number] = _Class(alive, part, ascending)
            start = stop
        return found


def _colours(pairs: _PairDistances, alive: np.ndarray) -> np.ndarray:
    """Return (k, rounds·n): the sorted colours of the sites after each refinement.

    A site's new colour is half its old one and the mean, over all atoms j of the
    supercell, of f(d)·c + g(d)·c² with j's old colour c: slopes of order one, so that
    noise in the distances stays noise in the colours.
    """
    near, wave = _kernels(pairs, alive)
    species = pairs.species
    colour = (1.0 + species) / (1.0 + species.max())
    colour = np.broadcast_to(colour, (len(alive), len(species)))
    rounds = []
    for _ in range(REFINEMENTS):
        colour = (
            0.5 * colour
            + (near @ colour[..., None])[..., 0]
            + (wave @ (colour**2)[..., None])[..., 0]
        )
        ranks = np.broadcast_to(species, colour.shape)
        order = np.lexsort((colour, ranks), axis=1)
        rounds.append(np.take_along_axis(colour, order, axis=1))
    return np.concatenate(rounds, axis=1)


def _kernels(pairs: _PairDistances, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return 1/(1+d) and cos(d) as (k, n, n) sums over images, divided by n·m."""
    n = len(pairs.species)
    near, wave = np.zeros((len(alive), n, n)), np.zeros((len(alive), n, n))
    for index, (first, second) in enumerate(pairs.classes):
        d = pairs.distances(index, alive)
        for kernel, values in ((near, 1 / (1 + d)), (wave, np.cos(d))):
            means = values.mean(axis=2) / n
            kernel[:, first, second] = kernel[:, second, first] = means
    sites = np.arange(n)
    for kernel in (near, wave):
        kernel[:, sites, sites] = kernel[:, :1, 0]
    return near, wave


def species_ranks(crystal: Crystal) -> np.ndarray:
    """Return (n,) int, ranks of the sites' species: element and oxidation state."""
    order = np.lexsort((crystal.oxidation, crystal.numbers))
    numbers, oxidation = crystal.numbers[order], crystal.oxidation[order]
    ranks = np.zeros(len(order), dtype=np.int64)
    steps = (numbers[1:] != numbers[:-1]) | (oxidation[1:] != oxidation[:-1])
    ranks[order[1:]] = np.cumsum(steps)
    return ranks


def _classes(species: np.ndarray) -> list[_Pairs]:
    """Return the pairs (first sites, second sites) of each pair of species.

    The first class is one site with itself: the lengths of the coset vectors, which
    depend on the lattice alone. The others follow in order of size, so that cheap ones
    decide before dear ones are computed. Of (i, j) and (j, i) one stands for both.
    """
    first, second = site_pairs(len(species))
    low = np.minimum(species[first], species[second])
    high = np.maximum(species[first], species[second])
    kinds = low * (species.max() + 1) + high
    sizes = np.bincount(kinds)
    # classes by size, the lower kind first among equals; pairs keep their order
    order = np.lexsort((kinds, sizes[kinds]))
    starts = np.flatnonzero(np.diff(kinds[order])) + 1
    own = np.zeros(1, dtype=np.int64)
    others = np.split(order, starts) if len(order) else []
    return [(own, own), *((first[pairs], second[pairs]) for pairs in others)]
