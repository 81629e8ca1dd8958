"""The supercell with at most `max_atoms` atoms that a crystal is seen in.

Site-Net, arXiv:2209.08190, section 3.2: a supercell as nearly cubic as the primitive
lattice and the atom limit allow.
"""

from math import ceil, sqrt

import numpy as np

from sitenet_core.structures.lattice import require_volume

TIE = 1e-6
"""Two lengths this close, relatively, and a rounding this close to ½, are ties."""


def scaling_matrix(
    lattice: np.ndarray, n_sites: int, max_atoms: int, tie: float = TIE
) -> np.ndarray:
    """Return the integer matrix M (3, 3) whose supercell lattice is `M @ lattice`.

    `lattice` = R·Q with R upper triangular and Q orthogonal; T = R⁻¹ with unit
    diagonal makes the rows of `T @ lattice` orthogonal, with lengths l. Repeat the
    shortest (s_k·l_k) once more while the atoms stay within `max_atoms`, then
    M = rint(diag(s)·T). det M = s₁·s₂·s₃. A cell with more than `max_atoms` sites keeps
    det M = 1. The first of equal lengths is repeated; halves are rounded toward zero.

    Raises:
        StructureError: if the lattice vectors lie in a plane.
    """
    require_volume(lattice)
    unit, lengths = _orthogonalising(lattice)
    repeats = _repeats(lengths, n_sites, max_atoms, tie)
    return np.array(
        [
            [_round(s * x, tie) for x in row]
            for s, row in zip(repeats, unit, strict=True)
        ],
        dtype=np.int64,
    )


def _orthogonalising(lattice: np.ndarray) -> tuple[list[list[float]], list[float]]:
    """Return T and the lengths |R_kk|, by Gram-Schmidt from the last vector up."""
    # three numbers each: plain floats are several times faster than arrays
    a, b, c = np.asarray(lattice, dtype=np.float64).tolist()
    bc = _dot(b, c) / _dot(c, c)
    across = [x - bc * z for x, z in zip(b, c, strict=True)]
    ab = _dot(a, across) / _dot(across, across)
    ac = _dot(a, c) / _dot(c, c)
    rest = [x - ab * y - ac * z for x, y, z in zip(a, across, c, strict=True)]
    lengths = [sqrt(_dot(v, v)) for v in (rest, across, c)]
    unit = [[1.0, -ab, ab * bc - ac], [0.0, 1.0, -bc], [0.0, 0.0, 1.0]]
    return unit, lengths


def _dot(a: list[float], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _repeats(
    lengths: list[float], n_sites: int, max_atoms: int, tie: float
) -> list[int]:
    repeats, scaled = [1, 1, 1], list(lengths)
    n_atoms = n_sites
    while True:
        limit = min(scaled) * (1 + tie)
        shortest = 0 if scaled[0] <= limit else 1 if scaled[1] <= limit else 2
        n_atoms = n_atoms // repeats[shortest] * (repeats[shortest] + 1)
        if n_atoms > max_atoms:
            return repeats
        repeats[shortest] += 1
        scaled[shortest] = repeats[shortest] * lengths[shortest]


def _round(value: float, tie: float) -> int:
    """Return the nearest integer, the one nearer zero within `tie` of a half."""
    size = ceil(abs(value) - 0.5 - tie)
    return size if value > 0 else -size
