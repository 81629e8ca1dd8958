"""The study's own run: its best value, and how many trials ended in which way."""

from collections import Counter

import pytest
from support.tracked_studies import (
    ToyStudy,
    runs,
)

from search.journal.events import SegmentFinished, SessionStarted, TrialFinished
from search.tracking import MlflowTracker
from search.trial.outcome import Outcome


def test_the_study_counts_outcomes_and_shows_its_best_value(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.complete(0)
    study.start(1)
    study.finish(1, Outcome.FAILED_NAN, epoch=0)
    study.end()
    tracker.sync(study.state)
    parent = runs(uri)["study"]
    assert parent.data.metrics == {
        "best_val_mae": pytest.approx(1 / 3),
        "trials_ended": 2,
        "trials_completed": 1,
        "trials_failed_nan": 1,
        "trials_stopped": 0,
    }
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["study"] == "toy-study"


def outcomes(uri: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return trials by outcome as the study's run counts them, and as their own say."""
    found = runs(uri)
    counts = dict(found.pop("study").data.metrics)
    total = counts.pop("trials_ended")
    counts.pop("best_val_mae", None)
    counted = {k.removeprefix("trials_"): int(n) for k, n in counts.items() if n}
    assert sum(counted.values()) == total
    told = Counter(run.data.tags["outcome"] for run in found.values())
    del told["unfinished"]
    return counted, dict(told)


def wait_at_a_rung(study: ToyStudy, trial: int) -> None:
    study.start(trial, until=1)
    study.epoch(trial, 1)
    study.add(SegmentFinished(trial=trial, attempt=1, epoch=1, checkpoint="last.ckpt"))


def test_trials_that_wait_when_the_budget_is_used_up_count_as_stopped(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.complete(0)
    for trial in (1, 2, 3):
        wait_at_a_rung(study, trial)
        tracker.sync(study.state)
    assert outcomes(uri) == ({"completed": 1}, {"completed": 1})
    study.end("trials")
    tracker.sync(study.state)
    assert outcomes(uri) == ({"completed": 1, "stopped": 3},) * 2


@pytest.mark.parametrize("completed", [0, 1])
def test_stopped_trials_that_go_on_with_a_larger_budget_are_no_longer_counted(
    study: ToyStudy, tracker: MlflowTracker, uri: str, completed: int
) -> None:
    for trial in range(completed):
        study.complete(trial)
    for trial in range(completed, completed + 2):
        wait_at_a_rung(study, trial)
    study.end("trials")
    tracker.sync(study.state)
    study.add(SessionStarted(session=2, host="here", pid=1))
    study.attempt(completed, 2, from_epoch=1)
    study.add(
        TrialFinished(trial=completed, outcome=Outcome.FAILED_NAN, epoch=1, value=None)
    )
    tracker.sync(study.state)
    ended = {"completed": completed} if completed else {}
    assert outcomes(uri) == ({**ended, "failed_nan": 1},) * 2
    study.end("trials")
    tracker.sync(study.state)
    assert outcomes(uri) == ({**ended, "failed_nan": 1, "stopped": 1},) * 2


@pytest.mark.parametrize("completed", [0, 1])
def test_stopped_trials_are_not_counted_after_a_session_that_ended_none(
    study: ToyStudy, tracker: MlflowTracker, uri: str, completed: int
) -> None:
    for trial in range(completed):
        study.complete(trial)
    wait_at_a_rung(study, completed)
    study.end("trials")
    tracker.sync(study.state)
    study.add(SessionStarted(session=2, host="here", pid=1))
    study.end("interrupted")
    tracker.sync(study.state)
    assert outcomes(uri) == ({"completed": completed} if completed else {},) * 2
    study.add(SessionStarted(session=3, host="here", pid=1))
    study.end("trials")
    tracker.sync(study.state)
    counted, told = outcomes(uri)
    assert counted == told
    assert counted["stopped"] == 1
