"""Lattice reduction, Hermite forms and cosets."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.transforms import random_unimodular

from sitenet_core.errors import StructureError
from sitenet_core.structures.lattice import (
    coset_vectors,
    hermite_normal_form,
    minkowski_basis,
)

seeds = st.integers(0, 2**32 - 1)


def random_lattice(rng: np.random.Generator) -> np.ndarray:
    """Return a lattice of random shape; one in two has exact ties."""
    lattice = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    if rng.random() < 0.5:
        lattice = rng.choice(
            [
                np.eye(3),
                1.0 - np.eye(3),
                np.array([[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.6]]),
            ]
        )
    return 4.0 * lattice * rng.choice([1.0, 1.0, 10.0], size=(3, 1))


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_reduced_vectors_have_the_lengths_of_the_successive_minima(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = random_unimodular(rng) @ random_lattice(rng)
    basis = minkowski_basis(lattice)
    reduced = basis @ lattice
    assert abs(round(np.linalg.det(basis))) == 1
    coefficients = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    vectors = coefficients @ reduced
    order = np.argsort(np.linalg.norm(vectors, axis=1))
    minima: list[np.ndarray] = []
    for vector in vectors[order][1:]:
        if np.linalg.matrix_rank(np.array([*minima, vector]), tol=1e-6) > len(minima):
            minima.append(vector)
    lengths = np.linalg.norm(minima, axis=1)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), lengths, rtol=1e-9)


@pytest.mark.parametrize("last", [[1.0, 1.0, 0], [np.nan, 0, 1.0], [0, 0, 0]])
def test_a_lattice_without_volume_is_refused(last: list[float]) -> None:
    flat = np.array([[1.0, 0, 0], [0, 1.0, 0], last])
    with pytest.raises(StructureError, match=r"no volume; check the lattice"):
        minkowski_basis(flat)


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_hermite_form_names_the_sublattice_and_not_its_basis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-5, 6, (3, 3))
    if round(np.linalg.det(matrix)) == 0:
        matrix = matrix + 11 * np.eye(3, dtype=int)
    form = np.array(hermite_normal_form(matrix))
    other = hermite_normal_form(random_unimodular(rng) @ matrix)
    assert np.array_equal(form, np.array(other))
    assert np.array_equal(form, np.triu(form))
    assert round(np.linalg.det(form)) == abs(round(np.linalg.det(matrix)))
    change = np.linalg.solve(matrix.T.astype(float), form.T).T
    np.testing.assert_allclose(change, np.rint(change), atol=1e-8)


def test_hermite_forms_of_different_sublattices_differ() -> None:
    first = hermite_normal_form(np.diag([2, 1, 1]))
    second = hermite_normal_form(np.diag([1, 2, 1]))
    assert first != second


def test_cosets_are_distinct_modulo_the_sublattice_and_begin_with_zero() -> None:
    scaling = np.array([[3, -1, 0], [1, 4, -2], [0, 1, 2]])
    cosets = coset_vectors(scaling)
    assert len(cosets) == abs(round(np.linalg.det(scaling)))
    assert not cosets[0].any()
    apart = (cosets[:, None] - cosets[None, :]) @ np.linalg.inv(scaling)
    same = np.abs(apart - np.rint(apart)).max(axis=2) < 1e-9
    assert np.array_equal(same, np.eye(len(cosets), dtype=bool))
