"""What searchers are told: values of one rung or places, failures, a liar."""

from dataclasses import replace

import numpy as np
import pytest
from support.simulated_study import finished, square

from search.engine.searchers.told import (
    MAX_TOLD,
    modelled_rung,
    tell,
    tell_places,
)
from search.journal.records import TrialRecord
from search.trial.outcome import Outcome


def test_only_values_of_one_rung_are_told() -> None:
    space = square()
    numbers = np.random.default_rng(0)
    shallow = [finished(k, space.sample(numbers), 0.1, epoch=3) for k in range(9)]
    deep = [
        replace(finished(9 + k, space.sample(numbers), 0.5, epoch=9), rung_values=v)
        for k, v in enumerate([{3: 0.7, 9: 0.5}] * 3)
    ]
    assert modelled_rung(shallow + deep[:2], n_parameters=2) == 3
    assert modelled_rung(shallow + deep, n_parameters=2) == 9
    assert [t.loss for t in tell(shallow + deep, 2)] == [0.5] * 3
    assert [t.loss for t in tell(shallow + deep[:2], 2)] == [0.1] * 9 + [0.7] * 2


def test_places_go_by_depth_and_then_by_value() -> None:
    flat = {"x": 0.5, "y": 0.5}
    history = [
        finished(0, flat, 0.1, epoch=3, outcome=None),
        finished(1, flat, 0.9, epoch=9),
        finished(2, flat, 0.2, epoch=3, outcome=Outcome.STOPPED),
        finished(3, flat, 0.01, epoch=9, outcome=Outcome.FAILED_NAN),
        finished(4, flat, 0.01, epoch=9, outcome=Outcome.FAILED_DATA),
        TrialRecord(5, flat, running=True, target_epoch=3),
    ]
    told = {t.record.number: t.loss for t in tell_places(history)}
    assert sorted(told, key=lambda n: (told[n], n)) == [1, 0, 2, 3, 5]
    assert told[1] == 0
    assert told[3] == told[5] == 1
    assert tell_places([history[3], history[5]]) == []


def test_a_rung_with_most_values_is_modelled_while_none_has_enough() -> None:
    space = square()
    flat = space.sample(np.random.default_rng(0))
    history = [
        finished(0, flat, 0.3, epoch=3),
        finished(1, flat, 0.3, epoch=3),
        finished(2, flat, 0.3, epoch=9),
    ]
    assert modelled_rung(history, n_parameters=20) == 3
    assert modelled_rung(history[1:], n_parameters=20) == 9
    assert modelled_rung([], n_parameters=20) is None


@pytest.mark.parametrize(
    ("outcome", "loss"),
    [
        (Outcome.FAILED_OOM, 5.0),
        (Outcome.FAILED_NAN, 5.0),
        (Outcome.FAILED_TIMEOUT, 5.0),
        (Outcome.FAILED_CONFIGURATION, 5.0),
        (Outcome.FAILED_EXCEPTION, 5.0),
        (Outcome.FAILED_LOST_WORKER, 5.0),
        (Outcome.FAILED_DATA, None),
        (Outcome.CANCELLED, 0.01),
        (Outcome.STOPPED, 0.01),
    ],
)
def test_each_outcome_is_told_as_it_says(outcome: Outcome, loss: float | None) -> None:
    """The rung value 0.01 that a failed trial reached before it failed is not used."""
    flat = {"x": 0.5, "y": 0.5}
    history = [
        finished(0, flat, 1.0),
        finished(1, flat, 3.0),
        finished(2, flat, 0.01, outcome=outcome),
    ]
    losses = {t.record.number: t.loss for t in tell(history, 2)}
    assert losses.get(2) == loss


def test_a_penalty_is_above_equal_values_and_never_infinite() -> None:
    flat = {"x": 0.5, "y": 0.5}
    for value in (0.0, 2.0):
        failed = finished(2, flat, None, outcome=Outcome.FAILED_NAN)
        losses = [t.loss for t in tell([finished(0, flat, value), failed], 2)]
        assert losses[1] > losses[0]
        assert np.isfinite(losses).all()


def test_running_trials_are_told_as_the_worst_and_waiting_ones_not_at_all() -> None:
    flat = {"x": 0.5, "y": 0.5}
    history = [
        finished(0, flat, 1.0),
        finished(1, flat, 3.0),
        TrialRecord(2, flat, running=True, target_epoch=10),
        TrialRecord(3, flat, last_epoch=4, target_epoch=10),
    ]
    assert {t.record.number: t.loss for t in tell(history, 2)} == {0: 1, 1: 3, 2: 3}


def test_a_long_history_is_cut_to_the_best_and_the_newest() -> None:
    """In both ways of telling."""
    flat = {"x": 0.5, "y": 0.5}
    n = MAX_TOLD + 300
    history = [finished(k, flat, float(k)) for k in range(n)]
    for told in (tell(history, 2), tell_places(history)):
        numbers = [t.record.number for t in told]
        assert len(numbers) == MAX_TOLD
        assert numbers == sorted(numbers)
        assert numbers[:50] == list(range(50))
        assert numbers[50:] == list(range(350, n))
