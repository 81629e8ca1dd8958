"""Ids of distances: bounded width, no chains, noise kept together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sitenet_core.structures.distance_ids import DistanceIds, distance_ids

TOLERANCE = 1e-4
SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1e-8, 3e-6, 2e-5, 1e-4, 1e-3])


def ids_of(distances: np.ndarray) -> DistanceIds:
    """Return the ids of `distances`, all of one weight."""
    return distance_ids(distances, np.ones(len(distances)), TOLERANCE)


def crowd(seed: int, scale: float) -> np.ndarray:
    """Return distances that are `scale` apart on average, some of them equal."""
    rng = np.random.default_rng(seed)
    apart = rng.exponential(scale, rng.integers(1, 200))
    apart[rng.random(len(apart)) < 0.2] = 0.0
    return rng.permutation(2.0 + np.cumsum(apart))


@given(SEEDS, SCALES)
def test_no_id_is_wider_than_the_tolerance(seed: int, scale: float) -> None:
    distances = crowd(seed, scale)
    found = ids_of(distances)
    for k, value in enumerate(found.values):
        members = distances[found.ids == k]
        assert np.ptp(members) <= TOLERANCE
        assert members.min() <= value <= members.max()
    assert (np.diff(found.values) > 0).all()


@given(SEEDS, SCALES)
def test_ids_do_not_depend_on_the_order(seed: int, scale: float) -> None:
    distances = crowd(seed, scale)
    order = np.random.default_rng(seed).permutation(len(distances))
    one, other = ids_of(distances), ids_of(distances[order])
    assert other.ids.tolist() == one.ids[order].tolist()
    np.testing.assert_allclose(other.values, one.values, rtol=1e-14)


@given(SEEDS)
def test_distances_further_apart_than_noise_stay_together_with_their_noise(
    seed: int,
) -> None:
    """Equal distances with noise are never split where gaps show the way."""
    rng = np.random.default_rng(seed)
    exact = 2.0 + np.cumsum(rng.uniform(3e-5, 2e-4, 40))
    noisy = np.repeat(exact, 6) + rng.uniform(-1e-7, 1e-7, 240)
    found = ids_of(rng.permutation(noisy))
    groups = ids_of(noisy).ids.reshape(40, 6)
    assert (groups == groups[:, :1]).all()
    assert len(found.values) < 40


def test_a_group_ends_at_the_widest_gap() -> None:
    assert ids_of(2 + TOLERANCE * np.array([0, 0.8, 1.0, 1.1])).ids.tolist() == [
        0,
        1,
        1,
        1,
    ]
    assert ids_of(2 + TOLERANCE * np.array([0, 0.4, 0.9])).ids.tolist() == [0, 0, 0]


def test_a_mean_counts_by_weight() -> None:
    found = distance_ids(np.array([2.0, 2.00004]), np.array([3.0, 1.0]), TOLERANCE)
    np.testing.assert_allclose(found.values, [2.00001], rtol=1e-14)


def test_a_crowd_without_gaps_is_cut_and_equal_numbers_stay_together() -> None:
    crowded = 2.0 + np.arange(300_000) * 1e-9
    found = ids_of(np.append(crowded, crowded))
    assert found.ids[:300_000].tolist() == found.ids[300_000:].tolist()
    assert np.array_equal(found.values, crowded)


def test_no_distances_have_no_ids() -> None:
    found = ids_of(np.empty(0))
    assert len(found.ids) == len(found.values) == 0
