"""The supercell rule of SITENET.md 1.2."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import rq

from sitenet_core.errors import StructureError
from sitenet_core.structures.supercell import scaling_matrix

FCC = 2.82 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])


def published_scaling(lattice: np.ndarray, n_sites: int, max_atoms: int) -> np.ndarray:
    """Return the matrix as the published code computes it, ties left to rounding."""
    upper, _ = rq(lattice)
    inverse = np.linalg.inv(upper)
    unit = inverse / np.diag(inverse)[:, None]
    lengths = np.abs(np.diag(upper))
    repeats = np.ones(3, dtype=int)
    while True:
        k = int(np.argmin(repeats * lengths))
        repeats[k] += 1
        if n_sites * repeats.prod() > max_atoms:
            repeats[k] -= 1
            return np.rint(np.diag(repeats) @ unit).astype(int)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 600))
def test_scaling_matrix_is_the_published_one_where_nothing_ties(
    seed: int, n_sites: int, max_atoms: int
) -> None:
    lattice = np.random.default_rng(seed).normal(size=(3, 3)) * 3 + 5 * np.eye(3)
    found = scaling_matrix(lattice, n_sites, max_atoms)
    assert np.array_equal(found, published_scaling(lattice, n_sites, max_atoms))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_supercell_has_at_most_max_atoms_and_never_loses_a_site(
    seed: int, n_sites: int
) -> None:
    lattice = np.random.default_rng(seed).normal(size=(3, 3)) + 2 * np.eye(3)
    images = round(abs(np.linalg.det(scaling_matrix(lattice, n_sites, 100))))
    assert images >= 1
    assert images * n_sites <= 100


def test_a_cell_larger_than_the_limit_keeps_one_image() -> None:
    matrix = scaling_matrix(FCC, 1000, 500)
    assert abs(round(np.linalg.det(matrix))) == 1


def test_equal_lengths_extend_the_first_axis_first() -> None:
    noise = 1 + 1e-9 * np.array([1.0, -1.0, 0.5])
    matrix = scaling_matrix(4.0 * np.diag(noise), 5, 100)
    assert matrix.tolist() == [[3, 0, 0], [0, 3, 0], [0, 0, 2]]


def test_halves_are_rounded_toward_zero_whatever_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    expected = scaling_matrix(FCC, 2, 4)
    assert expected.tolist() == [[2, -1, -1], [0, 1, 0], [0, 0, 1]]
    for _ in range(20):
        noisy = FCC * (1 + 1e-12 * rng.normal(size=(3, 3)))
        assert np.array_equal(scaling_matrix(noisy, 2, 4), expected)


def test_greedy_rule_stops_at_the_first_refusal() -> None:
    assert round(np.linalg.det(scaling_matrix(FCC, 2, 500))) * 2 == 420


def test_vectors_in_a_plane_are_refused() -> None:
    flat = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0]])
    with pytest.raises(StructureError, match="lie in a plane"):
        scaling_matrix(flat, 1, 10)
