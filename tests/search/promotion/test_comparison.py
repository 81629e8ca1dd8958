"""The statistics of a few reruns, against formulas and against simulation."""

import numpy as np
import pytest
from scipy import stats

from search.promotion.comparison import compare
from search.promotion.optimism import expected_optimism


def test_for_two_candidates_it_is_the_paired_t_interval() -> None:
    values = np.array([[0.31, 0.52, 0.40, 0.45], [0.36, 0.50, 0.47, 0.49]])
    differences = values[1] - values[0]
    half = stats.t.ppf(0.975, 3) * differences.std(ddof=1) / np.sqrt(4)
    assert compare(values).half_width == pytest.approx(half)


def test_what_a_seed_does_to_all_candidates_changes_no_interval() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4))
    shifted = values + np.array([5.0, -3.0, 0.0, 11.0])
    assert compare(shifted).half_width == pytest.approx(compare(values).half_width)


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    numbers = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        values = numbers.normal(size=(3, 2)) + numbers.normal(size=2)
        found = compare(values)
        assert found.half_width is not None
        hits += abs(found.means[1] - found.means[0]) <= found.half_width
    assert 0.94 < hits / 2000 < 0.96


def test_trainings_that_share_crystals_get_a_wider_interval() -> None:
    values = np.random.default_rng(2).normal(size=(3, 4))
    plain, corrected = compare(values).half_width, compare(values, 0.25).half_width
    assert plain is not None
    assert corrected == pytest.approx(plain * np.sqrt((1 / 4 + 0.25) / (1 / 4)))


def test_one_column_or_one_candidate_gives_no_interval() -> None:
    assert compare(np.array([[1.0], [2.0]])).half_width is None
    assert compare(np.array([[1.0, 2.0]])).half_width is None
    assert not compare(np.array([[1.0], [2.0]])).worse().any()


def test_equal_values_leave_no_doubt() -> None:
    found = compare(np.array([[1.0, 2.0], [1.0, 2.0], [1.5, 2.5]]))
    assert found.half_width == pytest.approx(0.0, abs=1e-12)
    assert found.worse().tolist() == [False, False, True]


def test_the_optimism_of_equal_trials_is_the_expected_minimum_of_the_noise() -> None:
    # E[min of 10 standard normals] = -1.5388
    assert expected_optimism([0.5] * 10, 0.1) == pytest.approx(0.15388, rel=0.03)


def test_without_noise_or_rivals_there_is_no_optimism() -> None:
    assert expected_optimism([0.5, 0.6], 0.0) == 0.0
    assert expected_optimism([0.5, 9.0], 0.01) == pytest.approx(0.0, abs=1e-3)
    assert expected_optimism([0.1, 0.1], 0.01) == expected_optimism([0.1, 0.1], 0.01)
