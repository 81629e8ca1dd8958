"""Minimum-image distances in a supercell, without building the supercell."""

from dataclasses import dataclass

import numpy as np

from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.lattice import (
    HALF_SPACE,
    coset_vectors,
    hermite_normal_form,
    minkowski_basis,
)

CHUNK = 4096
"""Pairs handled at once, so that the 13 products per pair stay in the cache."""


@dataclass(frozen=True)
class SupercellMetric:
    """What is needed to measure distances under a supercell's periodicity."""

    cosets: np.ndarray
    """(m, 3) int64, lattice points of one supercell, zero first; primitive units."""
    to_supercell: np.ndarray
    """(3, 3) primitive fractional coordinates → reduced supercell coordinates."""
    lattice: np.ndarray
    """(3, 3) Å, Minkowski-reduced supercell lattice, rows."""

    @classmethod
    def of(cls, lattice: np.ndarray, scaling: np.ndarray) -> "SupercellMetric":
        """Return the metric of supercell `scaling @ lattice`."""
        reduced = minkowski_basis(scaling @ lattice) @ scaling
        return cls(coset_vectors(scaling), np.linalg.inv(reduced), reduced @ lattice)

    def distances(self, delta: np.ndarray) -> np.ndarray:
        """Return the distances (p, m), Å, of the images of p separations.

        `delta` is (p, 3), in primitive fractional coordinates; image k is at
        `delta + cosets[k]`.
        """
        images = self.cosets @ self.to_supercell
        origins = delta @ self.to_supercell
        out = np.empty((len(delta), len(images)))
        step = max(1, CHUNK // len(images))
        for start in range(0, len(delta), step):
            part = slice(start, start + step)
            wrapped = (origins[part, None, :] + images[None, :, :]).reshape(-1, 3).T
            squares = self._shortest(wrapped - np.rint(wrapped))
            out[part] = np.sqrt(squares).reshape(-1, len(images))
        return out

    def _shortest(self, wrapped: np.ndarray) -> np.ndarray:
        """Return the smallest squared length (q,) of wrapped coordinates (3, q).

        In a Minkowski-reduced basis the nearest lattice point of a vector inside the
        unit parallelepiped has coordinates -1, 0, 1, so
        d² = |x|² + min(0, min_k(|S_k|² - 2|x·S_k|)) over 13 lattice vectors S_k.
        """
        position = self.lattice.T @ wrapped
        neighbours = HALF_SPACE @ self.lattice
        gain = np.abs((2 * neighbours) @ position)
        gain -= np.einsum("ij,ij->i", neighbours, neighbours)[:, None]
        best = np.maximum(gain.max(axis=0), 0.0)
        # rounding may leave a zero distance slightly negative before the root
        squares = np.einsum("ij,ij->j", position, position) - best
        clipped: np.ndarray = np.maximum(squares, 0.0)
        return clipped


def pair_distances(crystal: Crystal, scaling: np.ndarray) -> np.ndarray:
    """Return the distances (n, n·m), Å, of each site to each atom of the supercell.

    Column j·m + k is image k of unique site j; column i·m of row i is the site itself,
    exactly 0. Half of the pairs are computed; d(j, i, -t) = d(i, j, t) gives the rest.
    """
    metric = SupercellMetric.of(crystal.lattice, scaling)
    n, m = crystal.n_sites, len(metric.cosets)
    out = np.empty((n, n, m))
    own = metric.distances(np.zeros((1, 3)))[0]
    own[0] = 0.0
    out[np.arange(n), np.arange(n)] = own
    first, second = np.triu_indices(n, k=1)
    block = metric.distances(crystal.frac[second] - crystal.frac[first])
    out[first, second] = block
    out[second, first] = block[:, _negatives(metric.cosets, scaling)]
    return out.reshape(n, n * m)


def _negatives(cosets: np.ndarray, scaling: np.ndarray) -> np.ndarray:
    """Return for each coset the index of the coset of its negative."""
    form = hermite_normal_form(scaling)
    points = -cosets
    for k in range(3):
        points = points - (points[:, k] // form[k][k])[:, None] * np.array(form[k])
    widths = np.array([form[1][1] * form[2][2], form[2][2], 1])
    index: np.ndarray = points @ widths
    return index
