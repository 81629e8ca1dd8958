"""Rank correlation between rungs: against scipy, its interval, and what is told."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from search.engine.fidelity import Fidelity, Level
from search.journal import TrialRecord
from search.study.agreement import interval, rung_agreements, spearman
from search.trial.outcome import Outcome


def trial(number: int, rungs: dict[int, float]) -> TrialRecord:
    return TrialRecord(number, {}, rung_values=rungs)


def test_the_correlation_is_spearmans_with_ties_too() -> None:
    numbers = np.random.default_rng(0)
    for n in (4, 7, 30):
        first = numbers.integers(0, 6, n).astype(float)
        second = first + numbers.normal(size=n).round(1)
        expected = spearmanr(first, second).statistic
        assert spearman(list(first), list(second)) == pytest.approx(expected)
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_interval_holds_the_true_correlation_in_19_of_20_samples(
    n: int, rho: float
) -> None:
    """Spearman's of a bivariate normal is 6/π asin(ρ/2)."""
    true, numbers = 6 / math.pi * math.asin(rho / 2), np.random.default_rng(n)
    held = 0
    for _ in range(600):
        first = numbers.normal(size=n)
        second = rho * first + math.sqrt(1 - rho**2) * numbers.normal(size=n)
        found = spearman(list(first), list(second))
        assert found is not None
        low, high = interval(found, n)
        held += low <= true <= high
    assert held / 600 > 0.93


def test_few_trials_in_the_same_order_make_nothing_certain() -> None:
    low, high = interval(1.0, 4)
    assert low < 0
    assert interval(1.0, 30)[0] > 0.97 > low
    assert high < 1


def test_only_trials_at_both_rungs_are_compared_and_failed_ones_are_not() -> None:
    records = [trial(k, {3: 0.1 * k, 9: 0.05 * k}) for k in range(5)]
    records += [trial(5, {3: 0.9}), trial(6, {3: 0.8})]
    broken = {3: 0.0, 9: 9.0}
    records.append(TrialRecord(7, {}, rung_values=broken, outcome=Outcome.FAILED_NAN))
    first, last = rung_agreements(records)
    assert (first.rung, first.trials, first.following, first.both) == (3, 7, 9, 5)
    assert first.correlation == pytest.approx(1.0)
    assert (last.rung, last.following, last.correlation) == (9, None, None)
    epochs = Fidelity((Level(0, 9),))
    assert last.line(epochs) is None
    line = first.line(epochs)
    assert line is not None
    assert line.startswith("epoch 3 and epoch 9: rank correlation 1.00 (95 % ")
    assert line.endswith("5 trials)")


def test_too_few_trials_are_said_to_be_too_few() -> None:
    agreement = rung_agreements([trial(k, {3: 0.1, 9: 0.1}) for k in range(3)])[0]
    assert agreement.correlation is None
    shares = Fidelity((Level(0, 3, "share 0.3"), Level(3, 9, "share 1")))
    line = "share 0.3 and share 1: 3 trials, too few for a rank correlation"
    assert agreement.line(shares) == line
    assert rung_agreements([]) == []
