"""Minimum-image distances in supercells, without building them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.lattice import (
    HALF_SPACE,
    coset_vectors,
    hermite_normal_form,
    minkowski_basis,
    site_pairs,
)

CHUNK = 4096
"""Pairs handled at once, so that the products per pair stay in the cache."""
NEVER_NEARER = 1e-13
"""Relative margin, little above rounding, with which a neighbour counts as too far."""


@dataclass(frozen=True)
class SupercellMetric:
    """What is needed to measure distances in k supercells of m cells each."""

    cosets: np.ndarray
    """(k, m, 3) lattice points of each supercell, zero first; primitive units."""
    to_supercell: np.ndarray
    """(k, 3, 3) primitive fractional coordinates → reduced supercell coordinates."""
    lattice: np.ndarray
    """(k, 3, 3) Å, Minkowski-reduced supercell lattices, rows."""

    @classmethod
    def of(cls, lattice: np.ndarray, scaling: np.ndarray) -> "SupercellMetric":
        """Return the metric of the one supercell `scaling @ lattice`."""
        reduced = (minkowski_basis(scaling @ lattice) @ scaling)[None]
        cosets = coset_vectors(scaling)[None]
        return cls(cosets, np.linalg.inv(reduced), reduced @ lattice)

    @property
    def n_images(self) -> int:
        """Number m of cells in each supercell."""
        return int(self.cosets.shape[1])

    def only(self, kept: Sequence[int] | np.ndarray) -> "SupercellMetric":
        """Return the metric of some of the supercells."""
        return SupercellMetric(
            self.cosets[kept], self.to_supercell[kept], self.lattice[kept]
        )

    def distances(self, delta: np.ndarray) -> np.ndarray:
        """Return the distances (k, p, m), Å, of the images of p separations.

        `delta` is (k, p, 3), in primitive fractional coordinates of each supercell's
        lattice; image t is at `delta + cosets[:, t]`.
        """
        n_supercells, n_images = self.cosets.shape[:2]
        images = (self.cosets @ self.to_supercell).transpose(0, 2, 1)[:, :, None, :]
        origins = (delta @ self.to_supercell).transpose(0, 2, 1)[..., None]
        shape = (n_supercells, delta.shape[1], n_images)
        neighbours = self._neighbours()
        out = np.empty(shape)
        step = max(1, CHUNK // (n_supercells * n_images))
        for start in range(0, shape[1], step):
            part = slice(start, start + step)
            wrapped = (origins[:, :, part] + images).reshape(n_supercells, 3, -1)
            wrapped -= np.rint(wrapped)
            squares = self._shortest(wrapped, neighbours).reshape(
                n_supercells, -1, n_images
            )
            np.sqrt(squares, out=out[:, part])
        return out

    def _neighbours(self) -> np.ndarray:
        """Return the lattice vectors S (k, s, 3) that can be nearer than the origin.

        |x|² > |x - S|² for an x = f·lattice with |f_i| ≤ ½ takes
        Σ_i |b_i·S| > |S|². That is never so for the three of a rectangular cell, nor
        for the four ±b₁±b₂±b₃ of any reduced one: 9 of 13 are left at most.
        """
        vectors = HALF_SPACE @ self.lattice
        reach = np.abs(vectors @ self.lattice.transpose(0, 2, 1)).sum(axis=2)
        squares = (vectors * vectors).sum(axis=2)
        needed = (reach > squares * (1 + NEVER_NEARER)).any(axis=0)
        found: np.ndarray = vectors[:, needed]
        return found

    def _shortest(self, wrapped: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
        """Return the smallest squared length (k, q) of wrapped coordinates (k, 3, q).

        In a Minkowski-reduced basis the nearest lattice point of a vector inside the
        unit parallelepiped has coordinates -1, 0, 1, so
        d² = |x|² + min(0, min_s(|S_s|² - 2|x·S_s|)) over 13 lattice vectors S_s.
        """
        position = self.lattice.transpose(0, 2, 1) @ wrapped
        squares = np.einsum("kij,kij->kj", position, position)
        if neighbours.shape[1]:
            gain = (2 * neighbours) @ position
            np.abs(gain, out=gain)
            gain -= (neighbours * neighbours).sum(axis=2)[:, :, None]
            squares -= np.maximum(gain.max(axis=1), 0.0)
        # rounding may leave a zero distance slightly negative before the root
        clipped: np.ndarray = np.maximum(squares, 0.0, out=squares)
        return clipped


def pair_distances(crystal: Crystal, scaling: np.ndarray) -> np.ndarray:
    """Return the distances (n, n·m), Å, of each site to each atom of the supercell.

    Column j·m + k is image k of unique site j; column i·m of row i is the site itself,
    exactly 0. Half of the pairs are computed; d(j, i, -t) = d(i, j, t) gives the rest.
    """
    metric = SupercellMetric.of(crystal.lattice, scaling)
    own = metric.distances(np.zeros((1, 1, 3)))[0, 0]
    first, second = site_pairs(crystal.n_sites)
    separations = crystal.frac[second] - crystal.frac[first]
    block = metric.distances(separations[None])[0]
    return arranged(own, (first, second, block), scaling)


def arranged(
    own: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    scaling: np.ndarray,
) -> np.ndarray:
    """Return distances as `pair_distances` orders them.

    Args:
        own: (m,) Å, the distances of a site to its own images.
        pairs: First sites (p,), second sites (p,), distances (p, m) in Å of each first
            site to the images of the second; every two sites once.
        scaling: (3, 3), the supercell; its `coset_vectors` are the m images.
    """
    first, second, block = pairs
    n_images = len(own)
    # n(n - 1)/2 = p
    n = (1 + round((1 + 8 * len(first)) ** 0.5)) // 2
    out = np.empty((n, n, n_images))
    out[np.arange(n), np.arange(n)] = own
    out[np.arange(n), np.arange(n), 0] = 0.0
    out[first, second] = block
    out[second, first] = block.take(_negatives(scaling), axis=1)
    return out.reshape(n, n * n_images)


def _negatives(scaling: np.ndarray) -> np.ndarray:
    """Return for each coset the index of the coset of its negative."""
    form = hermite_normal_form(scaling)
    points = -coset_vectors(scaling)
    for k in range(3):
        points = points - (points[:, k] // form[k][k])[:, None] * np.array(form[k])
    widths = np.array([form[1][1] * form[2][2], form[2][2], 1])
    index: np.ndarray = points @ widths
    return index
