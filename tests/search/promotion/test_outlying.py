"""Which candidates' reruns disagree too much: level, power and invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from search.promotion.comparison import LEVEL, Comparison, compare
from search.promotion.outlying import (
    OUTLIER_LEVEL,
    outlying_variances,
    sum_of_squares,
)

Values = NDArray[np.float64]
DESIGNS = [(3, 2), (5, 2), (5, 3)]
"""Candidates and seeds."""


def noisy(
    seed: int, design: tuple[int, int], noise: float = 0.02, columns: float = 0.05
) -> Values:
    """Return errors of about 0.3, with what each column does to all of them."""
    numbers = np.random.default_rng(seed)
    effects = numbers.normal(0, columns, design[1])
    means = 0.3 + 0.01 * np.arange(design[0])
    return np.asarray(
        means[:, None] + effects + 0.3 * noise * numbers.normal(size=design)
    )


def noise_of(values: Values) -> float:
    """Return the noise by all of `values`, whatever is outlying among them."""
    degrees = (values.shape[0] - 1) * (values.shape[1] - 1)
    return float(np.sqrt(sum_of_squares(values) / degrees))


def check_noise(found: Comparison, values: Values) -> None:
    """Check that these values, and no others, decide the noise and what follows."""
    n_candidates, n_pairs = values.shape
    noise = noise_of(values)
    assert found.noise == pytest.approx(noise, rel=1e-12)
    quantile = stats.t.isf((1 - LEVEL) / 2, (n_candidates - 1) * (n_pairs - 1))
    half = quantile * noise * np.sqrt(2 / n_pairs)
    assert found.half_width == pytest.approx(half, rel=1e-9)
    error = np.sqrt(values.var(axis=1, ddof=1).mean() / n_pairs)
    assert found.standard_error == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize("design", DESIGNS)
def test_equal_variances_are_called_outlying_as_rarely_as_the_level_says(
    design: tuple[int, int],
) -> None:
    numbers = np.random.default_rng(3)
    n = 4000
    effects = 10 * numbers.normal(size=(n, 1, design[1]))
    draws = numbers.normal(size=(n, *design)) + effects
    false = sum(bool(outlying_variances(values).any()) for values in draws)
    error = np.sqrt(OUTLIER_LEVEL * (1 - OUTLIER_LEVEL) / n)
    # Bonferroni among candidates and steps: never above, and not far below.
    assert OUTLIER_LEVEL / 3 < false / n < OUTLIER_LEVEL + 3 * error


def test_the_first_step_is_the_exact_f_test_of_the_linear_model() -> None:
    """The largest candidate at the very edge of significance, by least squares."""
    values = noisy(0, (4, 3))
    centred = values - values.mean(axis=0)
    columns = [np.kron(np.eye(4), np.ones((3, 1))), np.kron(np.ones((4, 1)), np.eye(3))]
    design = np.hstack(columns)

    def squares(rows: NDArray[np.bool_], of: Values) -> float:
        kept = np.repeat(rows, 3)
        fitted = design[kept] @ np.linalg.pinv(design[kept])
        return float(np.square(of.ravel()[kept] - fitted @ of.ravel()[kept]).sum())

    everyone, without = np.ones(4, dtype=bool), np.arange(4) != 2
    critical = stats.f.isf(OUTLIER_LEVEL / 4, 2, 2 * 2)
    pattern = np.zeros((4, 3))
    pattern[2] = centred[2] - centred[2].mean()

    def excess(factor: float) -> float:
        found = values + factor * pattern
        rest = squares(without, found)
        return float((squares(everyone, found) - rest) / 2 / (rest / 4)) - critical

    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    assert not outlying_variances(values + 0.999 * low * pattern).any()
    found = outlying_variances(values + 1.001 * high * pattern)
    assert found.tolist() == [False, False, True, False]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("diverged", [0, 1])
def test_one_rerun_that_diverges_is_found_and_nobody_else(
    design: tuple[int, int], diverged: int
) -> None:
    found = 0
    for seed in range(200):
        values = noisy(seed, design)
        values[diverged, seed % design[1]] *= 10
        marks = outlying_variances(values)
        found += marks.tolist() == [c == diverged for c in range(design[0])]
    # Three candidates with two seeds leave one degree of freedom to judge by.
    assert found >= (150 if design == (3, 2) else 190)


@pytest.mark.parametrize("design", [(5, 2), (5, 3), (10, 3)])
def test_two_that_diverge_do_not_hide_each_other(design: tuple[int, int]) -> None:
    values = noisy(1, design)
    values[1, 0] *= 10
    values[3, 1] *= 11
    assert np.flatnonzero(outlying_variances(values)).tolist() == [1, 3]


def test_a_divergence_beyond_every_digit_hides_nothing() -> None:
    values = noisy(2, (5, 3))
    values[2, 1] = 3e38
    assert np.flatnonzero(outlying_variances(values)).tolist() == [2]
    check_noise(compare(values), np.delete(values, 2, axis=0))


def test_among_two_or_with_one_column_none_is_outlying() -> None:
    assert not outlying_variances(np.array([[0.3, 3.0, 0.3], [0.3, 0.3, 0.3]])).any()
    assert not outlying_variances(np.array([[0.3], [0.3], [9.0]])).any()
    assert not outlying_variances(np.array([[0.3, 0.4]])).any()


def test_where_the_others_agree_to_the_last_digit_nothing_can_be_judged() -> None:
    same = [[0.1, 0.2, 0.7], [0.3, 0.4, 0.9]]
    assert not outlying_variances(np.array([*same, [0.5, 0.6, 1.2]])).any()
    assert not outlying_variances(np.array([*same, [0.5, 0.6, 1.1]])).any()
    assert not outlying_variances(np.zeros((3, 3))).any()


designs = st.tuples(st.integers(3, 8), st.integers(2, 6))


@settings(max_examples=60)
@given(designs, st.integers(0, 10**6), st.data())
def test_only_what_disagrees_matters(
    design: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    values = noisy(seed, design)
    for row in data.draw(st.sets(st.integers(0, design[0] - 1), max_size=2)):
        values[row, 0] *= data.draw(st.sampled_from([1.3, 3.0, 10.0]))
    found = outlying_variances(values)
    assert found.sum() <= (design[0] - 1) // 2, "most of them stay"
    shifts = np.random.default_rng(seed + 1)
    rows, columns = shifts.normal(size=(design[0], 1)), shifts.normal(size=design[1])
    changed = 7 * (values + rows + columns)
    assert outlying_variances(changed).tolist() == found.tolist()
    order = shifts.permutation(design[0])
    assert outlying_variances(values[order]).tolist() == found[order].tolist()
    assert outlying_variances(values[:, ::-1]).tolist() == found.tolist()


@settings(max_examples=60)
@given(designs, st.integers(0, 10**6), st.floats(3, 1e6))
def test_who_is_outlying_decides_no_interval_but_the_lowest_ones(
    design: tuple[int, int], seed: int, factor: float
) -> None:
    values = noisy(seed, design)
    values[-1, 0] *= factor
    found = compare(values)
    kept = ~found.outlying
    kept[found.lowest] = True
    check_noise(found, values[kept])
    assert found.means.tolist() == values.mean(axis=1).tolist()


def test_the_lowest_mean_is_never_made_certain_by_leaving_it_out() -> None:
    values = noisy(4, (5, 3))
    values[2] = [0.30, -2.0, 0.31]
    found = compare(values)
    assert found.lowest == 2
    assert found.outlying.tolist() == [False, False, True, False, False]
    assert not found.worse().any()
    check_noise(found, values)
    assert found.noise is not None
    assert found.noise > 10 * noise_of(np.delete(values, 2, axis=0))
    # A second one that is not the lowest is left out all the same.
    values[4, 0] = 30.0
    both = compare(values)
    assert np.flatnonzero(both.outlying).tolist() == [2, 4]
    check_noise(both, values[:4])
