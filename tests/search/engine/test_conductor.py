"""The conductor: order, failures, budgets, and drivers that die."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.conducted_study import Bench, Killed
from support.segment_work import value_at
from support.simulated_study import square

from search.engine.schedulers import Asha, FullTraining, Scheduler, StoppingAsha
from search.engine.searchers import Earlier, make_searcher
from search.engine.segment import Answer, EndReason, Segment
from search.journal import Clock, StudyState, TrialRecord, read_journal
from search.trial.messages import EpochMessage
from search.trial.outcome import Outcome


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: here drivers die by an exception, which loses no cached write."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def planned(folder: Path, **plan: Any) -> Bench:
    """Return a bench whose trials do what the plan says."""
    content = {name.removeprefix("trial_"): todo for name, todo in plan.items()}
    (folder / "plan.json").write_text(json.dumps(content))
    return Bench(folder)


def essence(state: StudyState) -> list[tuple[Any, ...]]:
    """Return what must not depend on how often the driver died."""
    return [
        (
            t.number,
            dict(t.configuration),
            t.source,
            t.outcome,
            dict(t.rung_values),
            dict(t.epoch_values),
            t.bundle,
        )
        for t in state.trials
    ]


def test_every_trial_of_the_budget_is_trained_to_its_end(tmp_path: Path) -> None:
    state = Bench(tmp_path).session()
    assert [t.outcome for t in state.trials] == [Outcome.COMPLETED] * 5
    for trial in state.trials:
        assert trial.value == value_at(dict(trial.configuration), 4)
        assert trial.bundle == f"trials/{trial.number:05d}/bundle"
    assert state.ended == "trials"
    assert state.best == min(state.trials, key=lambda t: t.value or 9)


def test_known_good_configurations_come_first(tmp_path: Path) -> None:
    known = ({"x": 0.25, "y": 0.5}, {"x": 0.5, "y": 0.25})
    state = Bench(tmp_path, space=square(known_good=known)).session()
    assert tuple(dict(t.configuration) for t in state.trials[:2]) == known
    sources = [t.source for t in state.trials]
    assert sources == ["known_good"] * 2 + ["searcher"] * 3


def test_the_portfolio_comes_after_the_known_good(tmp_path: Path) -> None:
    known, carried_over = {"x": 0.25, "y": 0.5}, {"x": 0.75, "y": 0.5}
    bench = Bench(tmp_path, space=square(known_good=(known,)))
    bench.earlier = Earlier(portfolio=(known, carried_over))
    state = bench.session()
    sources = [t.source for t in state.trials]
    assert sources == ["known_good", "portfolio"] + ["searcher"] * 3
    assert dict(state.trials[1].configuration) == carried_over


def test_the_state_is_the_fold_of_the_file(tmp_path: Path) -> None:
    state = Bench(tmp_path, scheduler=Asha(epochs=4, min_epochs=1, eta=2)).session()
    assert StudyState.read(tmp_path / "journal.jsonl") == state


def test_asha_continues_trials_from_their_checkpoint(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Asha(epochs=9, min_epochs=1, eta=3), rules={"trials": 9})
    state = bench.session()
    outcomes = [state.outcome_of(t.number) for t in state.trials]
    assert outcomes.count(Outcome.COMPLETED) == 1
    assert outcomes.count(Outcome.STOPPED) == 8
    winner = next(t for t in state.trials if t.outcome is Outcome.COMPLETED)
    assert sorted(winner.rung_values) == [1, 3, 9]
    logs = sorted(tmp_path.glob(f"trials/{winner.number:05d}/*/log.txt"))
    starts = [log.read_text().splitlines()[0].rpartition(" ")[2] for log in logs]
    assert starts == ["0", "1", "3"]


def test_a_stopped_trial_is_journalled_as_final_and_is_not_revived(
    tmp_path: Path,
) -> None:
    stopping = StoppingAsha(epochs=9, min_epochs=1, eta=3)
    bench = Bench(tmp_path, stopping, rules={"trials": 12, "concurrent": 3})
    first = bench.session()
    outcomes = [t.outcome for t in first.trials]
    assert set(outcomes) == {Outcome.COMPLETED, Outcome.STOPPED}
    for trial in first.trials:
        assert (trial.outcome is Outcome.COMPLETED) == (9 in trial.rung_values)
    bench.rules = {"trials": 14}
    assert bench.session().trials[:12] == first.trials


def test_a_driver_that_dies_before_it_stops_a_trial_stops_it_when_it_is_back(
    tmp_path: Path,
) -> None:
    """Others reached the rung in the meantime; they have no say."""
    bench = Bench(tmp_path, StoppingAsha(epochs=9, min_epochs=1, eta=3))
    bench.rules = {"concurrent": 4}
    journal = bench.journal()
    conductor = bench.desk(journal).conductor
    asked = [conductor.ask() for _ in range(4)]
    segments = [s for s in asked if isinstance(s, Segment)]
    assert len(segments) == 4
    for segment, value in zip(segments, (0.5, 0.6, 0.7, 0.8), strict=True):
        conductor.epoch_done(segment, 1, {"val_mae": value}, "c")
    conductor.segment_finished(segments[0], "c", None)
    journal.lives = 1
    with pytest.raises(Killed):
        conductor.segment_finished(segments[1], "c", None)
    assert StudyState.read(tmp_path / "journal.jsonl").trials[1].outcome is None
    state = bench.desk(bench.journal()).conductor.state
    assert [t.outcome for t in state.trials[:2]] == [None, Outcome.STOPPED]


@pytest.mark.parametrize(
    ("what", "outcome", "message"),
    [
        ("nan", Outcome.FAILED_NAN, "became nan in epoch 2"),
        ("oom", Outcome.FAILED_OOM, "no memory left"),
        ("data", Outcome.FAILED_DATA, "the store is damaged"),
        ("surprise", Outcome.FAILED_EXCEPTION, "RuntimeError: planned: surprise"),
    ],
)
def test_a_failure_is_recorded_as_what_it_is_and_the_study_goes_on(
    tmp_path: Path, what: str, outcome: Outcome, message: str
) -> None:
    state = planned(tmp_path, trial_1={"do": what, "epoch": 2}).session()
    failed = state.trials[1]
    assert failed.outcome is outcome
    assert failed.value is None
    assert message in failed.message
    (failure,) = state.details[1].failures
    assert failure.traceback == "trials/00001/attempt-1/traceback.txt"
    assert message in (tmp_path / failure.traceback).read_text()
    others = [t.outcome for t in state.trials if t.number != 1]
    assert others == [Outcome.COMPLETED] * 4


def test_a_lost_worker_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    bench = planned(tmp_path, trial_1={"do": "lost", "epoch": 3, "attempts": [1, 2]})
    state = bench.session()
    assert state.trials[1].outcome is Outcome.COMPLETED
    assert state.trials[1].attempts == 3
    assert state.details[1].lost_workers == 2
    started = [
        entry.event.from_epoch  # type: ignore[attr-defined]
        for entry in read_journal(tmp_path / "journal.jsonl")
        if entry.event.event == "segment_started" and entry.event.trial == 1  # type: ignore[attr-defined]
    ]
    assert started == [0, 2, 2]


def test_a_worker_lost_too_often_ends_its_trial(tmp_path: Path) -> None:
    bench = planned(tmp_path, trial_1={"do": "lost", "epoch": 3})
    bench.rules = {"max_lost_worker_retries": 1}
    state = bench.session()
    assert state.trials[1].outcome is Outcome.FAILED_LOST_WORKER
    assert state.trials[1].attempts == 2
    assert [t.outcome for t in state.trials].count(Outcome.COMPLETED) == 4


def reference(
    folder: Path, searcher: str, scheduler: Scheduler
) -> tuple[Bench, StudyState, int]:
    """Return an uninterrupted study and how many events it has."""
    folder.mkdir()
    bench = planned(folder, trial_2={"do": "nan", "epoch": 2})
    bench.searcher = make_searcher(searcher, startup_trials=3)
    bench.scheduler = scheduler
    bench.rules = {"trials": 8}
    state = bench.session()
    return bench, state, len(read_journal(folder / "journal.jsonl"))


@pytest.mark.parametrize("searcher", ["random", "hyperopt", "gaussian"])
@pytest.mark.parametrize(
    "scheduler",
    [
        FullTraining(3),
        Asha(epochs=4, min_epochs=1, eta=2),
        StoppingAsha(epochs=4, min_epochs=1, eta=2),
    ],
)
def test_a_driver_killed_at_random_points_proposes_what_the_other_did(
    tmp_path_factory: pytest.TempPathFactory,
    searcher: str,
    scheduler: Scheduler,
) -> None:
    base = tmp_path_factory.mktemp("kills")
    _, expected, n_events = reference(base / "whole", searcher, scheduler)
    counter = iter(range(10**6))

    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
    )
    @given(
        lives=st.lists(st.integers(1, n_events), min_size=1, max_size=4),
        keeps_last=st.booleans(),
    )
    def check(lives: list[int], keeps_last: bool) -> None:  # noqa: FBT001
        folder = base / f"run-{next(counter)}"
        folder.mkdir()
        bench = planned(folder, trial_2={"do": "nan", "epoch": 2})
        bench.searcher = make_searcher(searcher, startup_trials=3)
        bench.scheduler = scheduler
        bench.rules = {"trials": 8}
        for limit in lives:
            try:
                bench.session(lives=limit, keeps_last=keeps_last)
            except Killed:
                continue
        finished: dict[int, TrialRecord] = (
            {
                t.number: t
                for t in StudyState.read(folder / "journal.jsonl").trials
                if t.outcome is not None
            }
            if (folder / "journal.jsonl").exists()
            else {}
        )
        state = bench.session()
        assert essence(state) == essence(expected)
        for number, record in finished.items():
            assert state.trials[number] == record, "a finished trial was run again"

    check()


def test_a_late_word_from_an_earlier_attempt_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    desk = bench.desk(bench.journal())
    desk.next("old")
    bench.folder.joinpath("nothing").touch()
    second = bench.desk(bench.journal())
    second.next("new")
    state = second.conductor.state
    old = Segment(0, 1, {}, 0, 4, True, None, "trials/00000/attempt-1", None)
    second.conductor.epoch_done(old, 1, {"val_mae": 0.0}, None)
    assert second.conductor.state == state
    second.receive(
        "new", EpochMessage(epoch=1, metrics={"val_mae": 1.0}).model_dump_json()
    )
    assert second.conductor.state.trials[0].epoch_values == {1: 1.0}


def test_concurrency_is_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rules={"concurrent": 2})
    desk = bench.desk(bench.journal())
    assert not isinstance(desk.next("a"), Answer)
    assert not isinstance(desk.next("b"), Answer)
    assert desk.next("c") is Answer.WAIT
    assert [t.number for t in desk.conductor.running] == [0, 1]


def test_the_wall_clock_budget_is_summed_over_sessions(tmp_path: Path) -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += 1.0
        return now[0]

    bench = Bench(tmp_path, rules={"trials": 50, "wall_clock_seconds": 40.0})
    clock = Clock(monotonic=tick)
    with pytest.raises(Killed):
        bench.session(clock=clock, lives=12)
    state = bench.session(clock=clock)
    assert state.ended == "wall_clock"
    assert 36.0 < state.seconds < 50.0
    assert len(state.trials) < 50
    again = bench.session(clock=clock)
    assert len(again.trials) == len(state.trials), "no time is left in a new session"


def test_a_larger_budget_goes_on_where_the_smaller_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rules={"trials": 3})
    first = bench.session()
    bench.rules = {"trials": 6}
    second = bench.session()
    assert second.trials[:3] == first.trials
    assert [t.outcome for t in second.trials] == [Outcome.COMPLETED] * 6


def test_a_segment_without_a_validation_value_fails(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    desk = bench.desk(bench.journal())
    segment = desk.conductor.ask()
    assert isinstance(segment, Segment)
    desk.conductor.segment_finished(segment, None, None)
    record = desk.conductor.state.trials[0]
    assert record.outcome is Outcome.FAILED_DATA
    assert "no val_mae" in record.message


def test_the_trial_time_out_counts_the_epochs_of_earlier_attempts(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, rules={"timeout_seconds": 100.0})
    desk = bench.desk(bench.journal())
    segment = desk.conductor.ask()
    assert isinstance(segment, Segment)
    assert segment.seconds_left == 100.0
    metrics: dict[str, float | int | None] = {"val_mae": 1.0, "seconds": 30.0}
    desk.conductor.epoch_done(segment, 1, metrics, "somewhere")
    desk.conductor.segment_failed(segment, Outcome.FAILED_LOST_WORKER, "gone")
    following = desk.conductor.ask()
    assert isinstance(following, Segment)
    assert (following.from_epoch, following.seconds_left) == (1, 70.0)


def test_an_interrupted_session_leaves_its_trials_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    desk = bench.desk(bench.journal())
    desk.next("a")
    desk.conductor.end(EndReason.INTERRUPTED)
    state = StudyState.read(tmp_path / "journal.jsonl")
    assert state.trials[0].outcome is None
    assert not state.trials[0].running
    assert bench.session().trials[0].outcome is Outcome.COMPLETED
