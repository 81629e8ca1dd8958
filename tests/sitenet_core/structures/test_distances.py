"""Minimum-image distances against pymatgen's, on supercells that are really built."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from support.crystals import needle, sample

from sitenet_core.structures.cell import Crystal, primitive_cell
from sitenet_core.structures.distances import pair_distances
from sitenet_core.structures.lattice import coset_vectors
from sitenet_core.structures.supercell import scaling_matrix

TOLERANCE = 1e-9
"""Å."""


def largest_difference(crystal: Crystal, scaling: np.ndarray) -> float:
    """Return how far the blocks of distances are from pymatgen's, in Å."""
    found = pair_distances(crystal, scaling)
    built = Structure(Lattice(crystal.lattice), crystal.numbers, crystal.frac)
    built.make_supercell(scaling, to_unit_cell=False)
    n = crystal.n_sites
    images = len(built) // n
    reference = built.distance_matrix[::images].reshape(n, n, images)
    blocks = found.reshape(n, n, images)
    return float(np.abs(np.sort(blocks, axis=2) - np.sort(reference, axis=2)).max())


@pytest.mark.parametrize("source", ["mp_gap_20k", "perovskites", "prototypes"])
def test_distances_of_real_crystals_are_pymatgens(source: str) -> None:
    for structure in sample(source, 25):
        crystal = primitive_cell(structure, 0.5)
        for limit in (50, 300):
            scaling = scaling_matrix(crystal.lattice, crystal.n_sites, limit)
            assert largest_difference(crystal, scaling) < TOLERANCE


@pytest.mark.parametrize("limit", [3, 60, 500])
def test_distances_in_a_needle_like_cell_are_pymatgens(limit: int) -> None:
    crystal = needle(aspect=50)
    assert largest_difference(crystal, np.diag([1, 1, 2])) < TOLERANCE
    scaling = scaling_matrix(crystal.lattice, crystal.n_sites, limit)
    assert largest_difference(crystal, scaling) < TOLERANCE


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_distances_in_random_lattices_and_supercells_are_pymatgens(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = rng.normal(size=(3, 3)) * 2 + np.diag(rng.choice([2.0, 4.0, 20.0], 3))
    scaling = np.diag(rng.integers(1, 4, 3)) + np.triu(rng.integers(-2, 3, (3, 3)), 1)
    crystal = Crystal(
        lattice, rng.normal(size=(3, 3)), np.array([1, 2, 3]), np.zeros(3)
    )
    assert largest_difference(crystal, scaling) < TOLERANCE


def test_column_of_the_site_itself_is_the_first_of_its_block_and_zero() -> None:
    crystal = needle(aspect=3)
    distances = pair_distances(crystal, np.diag([2, 3, 1]))
    assert distances.shape == (3, 18)
    for site in range(3):
        assert distances[site, 6 * site] == 0.0
        assert np.count_nonzero(distances[site] == 0.0) == 1


def test_distance_matrix_is_symmetric_over_the_whole_supercell() -> None:
    crystal = needle(aspect=2)
    blocks = pair_distances(crystal, np.diag([2, 2, 3])).reshape(3, 3, 12)
    swapped = np.sort(blocks.transpose(1, 0, 2), axis=2)
    np.testing.assert_allclose(np.sort(blocks, axis=2), swapped, atol=1e-12)


def test_columns_are_in_the_order_of_the_coset_vectors() -> None:
    crystal, scaling = needle(aspect=2), np.array([[2, 1, 0], [0, 3, -1], [1, 0, 2]])
    cosets = coset_vectors(scaling)
    shifts = np.array(list(itertools.product(range(-9, 10), repeat=3))) @ scaling
    expected = np.empty((3, 3, len(cosets)))
    for i, j, k in np.ndindex(expected.shape):
        apart = crystal.frac[j] + cosets[k] - crystal.frac[i] + shifts
        expected[i, j, k] = np.linalg.norm(apart @ crystal.lattice, axis=1).min()
    found = pair_distances(crystal, scaling).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_site_sees_its_own_images() -> None:
    crystal = Crystal(3.0 * np.eye(3), np.zeros((1, 3)), np.array([84]), np.zeros(1))
    distances = pair_distances(crystal, np.diag([2, 1, 1]))
    np.testing.assert_allclose(distances, [[0.0, 3.0]], atol=1e-12)


def test_a_thousand_sites_with_one_image_are_taken() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3)
    frac = (grid + 0.1 * rng.normal(size=grid.shape)) / 10
    crystal = Crystal(25.0 * np.eye(3), frac, np.full(1000, 14), np.zeros(1000))
    distances = pair_distances(crystal, np.eye(3, dtype=int))
    apart = frac[:3, None] - frac[None, :]
    expected = 25.0 * np.linalg.norm(apart - np.rint(apart), axis=2)
    np.testing.assert_allclose(distances[:3], expected, atol=1e-9)
