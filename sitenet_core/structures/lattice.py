"""Integer and metric geometry of three-dimensional lattices (rows are vectors)."""

import itertools
from math import floor

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

_Row = tuple[list[float], list[int]]


def require_volume(lattice: np.ndarray) -> None:
    """Refuse three vectors (3, 3), Å, that span no finite volume.

    Raises:
        StructureError: if they do not.
    """
    finite = bool(np.isfinite(lattice).all())
    volume = abs(float(np.linalg.det(lattice))) if finite else 0.0
    box = float(np.prod(np.linalg.norm(lattice, axis=1))) if finite else 0.0
    if not volume > LEAST_VOLUME * box:
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
    rows: list[_Row] = [
        ([float(x) for x in vector], [int(i == j) for j in range(3)])
        for i, vector in enumerate(lattice)
    ]
    for _ in range(MAX_STEPS):
        rows.sort(key=lambda row: _dot(row[0], row[0]))
        if not (_shorten_second(rows) or _shorten_third(rows)):
            return np.array([row[1] for row in rows], dtype=np.int64)
    raise StructureError(
        "lattice reduction does not end: the cell has (almost) no volume; "
        "check the lattice parameters"
    )


def _dot(a: list[float], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _minus(row: _Row, terms: list[tuple[int, _Row]]) -> _Row:
    vector, counts = list(row[0]), list(row[1])
    for k, (other, other_counts) in terms:
        for axis in range(3):
            vector[axis] -= k * other[axis]
            counts[axis] -= k * other_counts[axis]
    return vector, counts


def _shorten_second(rows: list[_Row]) -> bool:
    first, second = rows[0], rows[1]
    length = _dot(first[0], first[0])
    k = floor(_dot(first[0], second[0]) / length + 0.5) if length > 0 else 0
    return _accept(rows, 1, _minus(second, [(k, first)]))


def _shorten_third(rows: list[_Row]) -> bool:
    """Subtract from the third vector the nearest one of the plane of the first two."""
    (a, _), (b, _), (c, _) = rows
    aa, ab, bb, ac, bc = _dot(a, a), _dot(a, b), _dot(b, b), _dot(a, c), _dot(b, c)
    det = aa * bb - ab * ab
    if det <= 0:
        return False
    x = floor((ac * bb - bc * ab) / det + 0.5)
    y = floor((bc * aa - ac * ab) / det + 0.5)
    options = [
        _minus(rows[2], [(x + i, rows[0]), (y + j, rows[1])])
        for i, j in itertools.product((-1, 0, 1), repeat=2)
    ]
    return _accept(rows, 2, min(options, key=lambda row: _dot(row[0], row[0])))


def _accept(rows: list[_Row], index: int, row: _Row) -> bool:
    old = _dot(rows[index][0], rows[index][0])
    if _dot(row[0], row[0]) >= old * (1 - IMPROVEMENT):
        return False
    rows[index] = row
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
    axes = [np.arange(form[k][k]) for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
