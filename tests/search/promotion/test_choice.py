"""Which trial is promoted."""

import pytest

from search.journal import TrialRecord
from search.promotion import choose
from search.trial.outcome import Outcome
from sitenet_core.errors import NoTrialSucceededError


def trial(
    number: int, rungs: dict[int, float], outcome: Outcome | None = Outcome.COMPLETED
) -> TrialRecord:
    return TrialRecord(number, {}, outcome=outcome, rung_values=rungs)


def test_the_completed_trial_with_the_smallest_error_at_its_end_wins() -> None:
    choice = choose([trial(0, {3: 0.1, 9: 0.6}), trial(1, {3: 0.9, 9: 0.5})])
    assert (choice.trial.number, choice.epoch, choice.value) == (1, 9, 0.5)


def test_of_equal_trials_the_earlier_wins() -> None:
    assert choose([trial(4, {9: 0.5}), trial(2, {9: 0.5})]).trial.number == 2


def test_a_better_value_at_a_lower_rung_does_not_beat_a_completed_trial() -> None:
    stopped = trial(0, {3: 0.1}, Outcome.STOPPED)
    assert choose([stopped, trial(1, {3: 0.9, 9: 0.8})]).trial.number == 1


def test_without_a_completed_trial_the_deepest_rung_decides() -> None:
    choice = choose(
        [
            trial(0, {3: 0.1}, Outcome.STOPPED),
            trial(1, {3: 0.5, 9: 0.4}, Outcome.CANCELLED),
            trial(2, {3: 0.6, 9: 0.3}, None),
        ]
    )
    assert (choice.trial.number, choice.epoch, choice.value) == (2, 9, 0.3)


def test_a_failed_trial_is_never_promoted() -> None:
    failed = trial(0, {3: 0.1, 9: 0.1}, Outcome.FAILED_NAN)
    assert choose([failed, trial(1, {3: 0.9}, Outcome.STOPPED)]).trial.number == 1


def test_a_study_without_a_value_says_how_its_trials_ended() -> None:
    failed = [trial(n, {}, Outcome.FAILED_OOM) for n in range(2)]
    with pytest.raises(NoTrialSucceededError, match=r"2 failed_oom.*sitenet search"):
        choose(failed)
    with pytest.raises(NoTrialSucceededError, match="none was started"):
        choose([])
