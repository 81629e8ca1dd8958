"""The state as a fold of events: which attempt counts, and what it forgets."""

from pathlib import Path

import pytest

from search.journal import (
    EpochDone,
    Event,
    Journal,
    SegmentFinished,
    SegmentStarted,
    SessionEnded,
    SessionStarted,
    StudyState,
    TrialCreated,
)
from sitenet_core.errors import InfrastructureError

CREATED = TrialCreated(trial=0, configuration={"x": 1}, source="searcher", seed=0)


def state_of(folder: Path, *events: Event) -> StudyState:
    journal = Journal.open(folder / "journal.jsonl")
    for event in events:
        journal.append(event)
    return StudyState.of(journal.entries)


def started(attempt: int, from_epoch: int, checkpoint: str | None) -> SegmentStarted:
    return SegmentStarted(
        trial=0,
        attempt=attempt,
        from_epoch=from_epoch,
        until_epoch=9,
        checkpoint=checkpoint,
        folder=f"trials/00000/attempt-{attempt}",
    )


def epoch(attempt: int, number: int, value: float) -> EpochDone:
    return EpochDone(
        trial=0,
        attempt=attempt,
        epoch=number,
        metrics={"val_mae": value, "seconds": 2.0},
        checkpoint=f"attempt-{attempt}",
    )


def test_a_new_attempt_forgets_what_lies_beyond_its_checkpoint(tmp_path: Path) -> None:
    first = [CREATED, started(1, 0, None), *(epoch(1, e, 1.0) for e in (1, 2, 3))]
    state = state_of(tmp_path, *first, started(2, 1, "attempt-1"), epoch(2, 2, 0.5))
    assert state.trials[0].epoch_values == {1: 1.0, 2: 0.5}
    assert state.details[0].seconds == 4.0
    assert state.trials[0].last_checkpoint == "attempt-2"


def test_an_attempt_that_starts_from_nothing_forgets_all_but_its_rungs(
    tmp_path: Path,
) -> None:
    first = [CREATED, started(1, 0, None), epoch(1, 1, 1.0)]
    closed = SegmentFinished(trial=0, attempt=1, epoch=1, checkpoint="c")
    state = state_of(tmp_path, *first, closed, started(2, 0, None))
    record = state.trials[0]
    assert (record.epoch_values, record.last_epoch) == ({}, 0)
    assert record.rung_values == {1: 1.0}
    assert record.arrivals == {1: 0}


def test_only_the_current_attempt_counts(tmp_path: Path) -> None:
    before = [CREATED, started(1, 0, None), started(2, 0, None)]
    state = state_of(tmp_path, *before, epoch(1, 1, 0.1))
    assert state.trials[0].epoch_values == {}


def test_no_segment_runs_after_its_driver(tmp_path: Path) -> None:
    session = SessionStarted(session=1, host="h", pid=1)
    events = [session, CREATED, started(1, 0, None)]
    assert state_of(tmp_path, *events).trials[0].running
    again = SessionStarted(session=2, host="h", pid=2)
    assert not state_of(tmp_path, again).trials[0].running


def test_a_promotion_takes_nothing_from_the_budget_of_time(tmp_path: Path) -> None:
    search = SessionStarted(session=1, host="h", pid=1)
    other = SessionStarted(session=2, host="h", pid=1, purpose="promotion")
    ended = SessionEnded(reason="trials")
    state = state_of(tmp_path, search, ended, other, ended)
    assert list(state.search_seconds) == [1]
    assert (state.session, state.session_open, state.ended) == (2, False, "trials")


def test_an_event_of_an_unknown_trial_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="epoch of trial 0, which was never"):
        state_of(tmp_path, epoch(1, 1, 1.0))
    (tmp_path / "other").mkdir()
    with pytest.raises(InfrastructureError, match="trial 3 was created where trial 0"):
        state_of(tmp_path / "other", CREATED.model_copy(update={"trial": 3}))
