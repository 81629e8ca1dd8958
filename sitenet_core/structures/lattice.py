"""Integer and metric geometry of three-dimensional lattices (rows are vectors)."""

import itertools
from collections.abc import Sequence
from functools import lru_cache
from math import floor, isfinite, sqrt
from typing import NamedTuple

import numpy as np

from sitenet_core.errors import StructureError

IMPROVEMENT = 1e-12
"""Relative gain below which a shorter squared length is rounding noise."""
LEAST_VOLUME = 1e-12
"""Volume over a·b·c below which three vectors lie in a plane."""
MAX_STEPS = 1000
"""More reduction steps than any finite lattice in double precision can need."""

HALF_SPACE = np.array(
    [c for c in itertools.product((-1, 0, 1), repeat=3) if c > (0, 0, 0)]
)
"""(13, 3) one of each pair ±c of nonzero vectors with entries -1, 0, 1."""

_Vector = tuple[float, ...]


class _Row(NamedTuple):
    """A lattice vector while a basis is reduced."""

    squared: float
    """Å², its squared length."""
    vector: _Vector
    counts: tuple[int, ...]
    """Its coordinates in the basis that came in."""


@lru_cache(maxsize=128)
def site_pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first and second sites, (n(n-1)/2,) each and read-only, of all pairs."""
    first, second = np.triu_indices(n, k=1)
    first.flags.writeable = second.flags.writeable = False
    return first, second


def require_volume(lattice: np.ndarray) -> None:
    """Refuse three vectors (3, 3), Å, that span no finite volume.

    Raises:
        StructureError: if they do not.
    """
    a, b, c = lattice.tolist()
    cross = (
        b[1] * c[2] - b[2] * c[1],
        b[2] * c[0] - b[0] * c[2],
        b[0] * c[1] - b[1] * c[0],
    )
    volume = abs(_dot(a, cross))
    box = sqrt(_dot(a, a)) * sqrt(_dot(b, b)) * sqrt(_dot(c, c))
    if not (isfinite(volume) and volume > LEAST_VOLUME * box):
        raise StructureError(
            f"the lattice vectors {np.asarray(lattice).tolist()} lie in a plane or are "
            "not finite, so that the cell has no volume; check the lattice parameters"
        )


def minkowski_basis(lattice: np.ndarray) -> np.ndarray:
    """Return an integer unimodular U such that `U @ lattice` is Minkowski-reduced.

    The rows of the result are sorted by length, and their lengths are the successive
    minima. Ties (hexagonal 60° or 120°, say) are left to chance: use
    `canonical.reduced_bases` where they matter. Semaev, *A 3-dimensional lattice
    reduction algorithm*, CaLC 2001.

    Raises:
        StructureError: if the lattice has no volume, or is so flat that the reduction
            does not end.
    """
    require_volume(lattice)
    rows = [
        _Row(_squared(vector), vector, (int(i == 0), int(i == 1), int(i == 2)))
        for i, vector in enumerate(map(tuple, lattice.tolist()))
    ]
    for _ in range(MAX_STEPS):
        rows.sort(key=_length)
        if not (_shorten_second(rows) or _shorten_third(rows)):
            return np.array([row.counts for row in rows], dtype=np.int64)
    raise StructureError(
        "lattice reduction does not end: the cell has (almost) no volume; "
        "check the lattice parameters"
    )


def _length(row: _Row) -> float:
    return row.squared


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _squared(a: Sequence[float]) -> float:
    return a[0] * a[0] + a[1] * a[1] + a[2] * a[2]


def _minus(a: _Vector, k: int, b: _Vector) -> _Vector:
    return a[0] - k * b[0], a[1] - k * b[1], a[2] - k * b[2]


def _shorten_second(rows: list[_Row]) -> bool:
    first, second = rows[0], rows[1]
    length = first.squared
    k = floor(_dot(first.vector, second.vector) / length + 0.5) if length > 0 else 0
    if k == 0:
        return False
    vector = _minus(second.vector, k, first.vector)
    squared = _squared(vector)
    if squared >= second.squared * (1 - IMPROVEMENT):
        return False
    x, y, z = second.counts
    u, v, w = first.counts
    rows[1] = _Row(squared, vector, (x - k * u, y - k * v, z - k * w))
    return True


def _shorten_third(rows: list[_Row]) -> bool:
    """Subtract from the third vector the nearest one of the plane of the first two."""
    a, b, c = rows
    aa, bb = a.squared, b.squared
    ab, ac = _dot(a.vector, b.vector), _dot(a.vector, c.vector)
    bc = _dot(b.vector, c.vector)
    det = aa * bb - ab * ab
    if det <= 0:
        return False
    x = floor((ac * bb - bc * ab) / det + 0.5)
    y = floor((bc * aa - ac * ab) / det + 0.5)
    best, least = (0, 0, c.vector), c.squared * (1 - IMPROVEMENT)
    for i in (x - 1, x, x + 1):
        along = _minus(c.vector, i, a.vector)
        for j in (y - 1, y, y + 1):
            vector = _minus(along, j, b.vector)
            squared = _squared(vector)
            if squared < least:
                best, least = (i, j, vector), squared
    i, j, vector = best
    if i == j == 0:
        return False
    counts = tuple(
        m - i * u - j * v for m, u, v in zip(c.counts, a.counts, b.counts, strict=True)
    )
    rows[2] = _Row(least, vector, counts)
    return True


def hermite_normal_form(matrix: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Return the upper triangular basis of the row lattice of an integer matrix.

    Diagonal entries are positive and each entry above one is in [0, diagonal): two
    nonsingular matrices span the same sublattice iff their forms are equal.
    """
    rows = [[int(x) for x in row] for row in matrix]
    for col in range(3):
        for below in range(col + 1, 3):
            while rows[below][col] != 0:
                k = rows[col][col] // rows[below][col]
                reduced = [
                    x - k * y for x, y in zip(rows[col], rows[below], strict=True)
                ]
                rows[col], rows[below] = rows[below], reduced
        if rows[col][col] < 0:
            rows[col] = [-x for x in rows[col]]
        for above in range(col):
            k = rows[above][col] // rows[col][col]
            rows[above] = [
                x - k * y for x, y in zip(rows[above], rows[col], strict=True)
            ]
    return tuple(tuple(row) for row in rows)


def coset_vectors(scaling: np.ndarray) -> np.ndarray:
    """Return the m = |det(scaling)| lattice points of one supercell, zero first.

    Shape (m, 3), int64, in units of the primitive lattice vectors: one representative
    of each coset of the sublattice that the rows of `scaling` span.
    """
    form = hermite_normal_form(scaling)
    sides = [form[k][k] for k in range(3)]
    return np.indices(sides).reshape(3, -1).T
