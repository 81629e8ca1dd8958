"""Budgets: which ends a study first, how, and what a larger one goes on with."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.conducted_study import Bench, Killed
from support.simulated_study import square, toy_space

from search.engine.budget import Spent
from search.engine.hopeless import HOPELESS, HOPELESS_OF_ANY_KIND
from search.engine.schedulers import Asha, FullTraining
from search.engine.segment import Answer, EndReason, Segment
from search.journal import Clock, StudyState
from search.space import Space
from search.study.config import BudgetConfig
from search.study.folder import StudyFolder
from search.study.limits import study_budget, used_of_budget
from search.trial.outcome import Outcome

ASHA = Asha(epochs=9, min_epochs=1, eta=3)
BROKEN = {"do": "data", "epoch": 1}


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: here drivers die by an exception, which loses no cached write."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now)


def starts(folder: Path, trial: int) -> list[str]:
    """Return the epochs that the segments of a trial started from."""
    logs = sorted(folder.glob(f"trials/{trial:05d}/*/log.txt"))
    return [log.read_text().splitlines()[0].rpartition(" ")[2] for log in logs]


# Epochs ------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("scheduler", [ASHA, FullTraining(9)])
def test_epochs_exceed_their_budget_by_less_than_one_segment(
    tmp_path: Path, workers: int, scheduler: Asha | FullTraining
) -> None:
    rules = {"trials": None, "epoch_budget": 40, "concurrent": workers}
    state = Bench(tmp_path, scheduler, rules=rules).session()
    spent = Spent.of(state)
    assert 40 <= spent.epochs < 40 + 9
    assert spent.epochs == sum(len(t.epoch_values) for t in state.trials)
    assert state.ended == "epochs"
    assert not any(t.interrupted for t in state.trials), "every rung was finished"


def test_a_larger_budget_of_epochs_goes_on_as_if_it_had_been_the_first(
    tmp_path: Path,
) -> None:
    (tmp_path / "whole").mkdir()
    rules: dict[str, Any] = {"trials": None, "epoch_budget": 60}
    whole = Bench(tmp_path / "whole", ASHA, rules=rules).session()
    (tmp_path / "parts").mkdir()
    parts = Bench(tmp_path / "parts", ASHA, rules={**rules, "epoch_budget": 25})
    assert parts.session().ended == "epochs"
    parts.rules = rules
    assert parts.session().trials == whole.trials


@pytest.mark.parametrize("lives", [5, 12, 21, 30, 44])
@pytest.mark.parametrize("keeps_last", [True, False])
def test_a_killed_driver_does_not_change_where_the_epochs_end(
    tmp_path: Path, lives: int, *, keeps_last: bool
) -> None:
    rules = {"trials": None, "epoch_budget": 20, "concurrent": 1}
    (tmp_path / "whole").mkdir()
    whole = Bench(tmp_path / "whole", ASHA, rules=rules).session()
    (tmp_path / "killed").mkdir()
    bench = Bench(tmp_path / "killed", ASHA, rules=rules)
    with pytest.raises(Killed):
        bench.session(lives=lives, keeps_last=keeps_last)
    state = bench.session()
    assert [dict(t.epoch_values) for t in state.trials] == [
        dict(t.epoch_values) for t in whole.trials
    ]


@pytest.mark.parametrize("rules", [{"epoch_budget": 100}, {"trials": 1000}])
def test_a_study_of_which_nothing_can_be_trained_ends(
    tmp_path: Path, rules: dict[str, int]
) -> None:
    bench = Bench(tmp_path, ASHA, rules={"trials": None, **rules})
    plan = {str(number): BROKEN for number in range(50)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    state = bench.session()
    assert len(state.trials) == HOPELESS
    assert state.ended == "failures"
    (tmp_path / "plan.json").unlink()
    bench.rules = {"trials": HOPELESS + 3}
    mended = bench.session()
    assert len(mended.trials) == HOPELESS + 3
    assert mended.ended == "trials", "what was mended is tried again"


@pytest.mark.parametrize("rules", [{"epoch_budget": 60}, {"trials": 1000}])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_fault_in_mid_study_ends_the_session_and_what_waits_goes_on_after_it(
    tmp_path: Path, rules: dict[str, int], workers: int
) -> None:
    rules = {"trials": None, "concurrent": workers, **rules}
    bench = Bench(tmp_path, ASHA, rules=rules)
    plan = {str(number): BROKEN for number in range(7, 1000)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    state = bench.session()
    assert state.ended == "failures"
    n_failed = sum(t.outcome is Outcome.FAILED_DATA for t in state.trials)
    assert HOPELESS <= n_failed < 2 * HOPELESS, "some while others still trained"
    waiting = [t for t in state.trials if t.waiting]
    assert waiting, "none of them was lost to the fault"
    assert {state.outcome_of(t.number) for t in waiting} == {None}
    (tmp_path / "plan.json").unlink()
    n_before = len(state.trials)
    bench.rules = {**rules, "trials": n_before + 30, "epoch_budget": 150}
    mended = bench.session()
    assert len(mended.trials) > n_before
    assert mended.ended in {"epochs", "trials"}


@pytest.mark.parametrize(
    ("kind", "ended"),
    [("nan", "trials"), ("oom", "trials"), ("data", "failures"), ("x", "failures")],
)
def test_a_searcher_may_explore_a_region_that_fails(
    tmp_path: Path, kind: str, ended: str
) -> None:
    bench = Bench(tmp_path, FullTraining(4), rules={"trials": 3 * HOPELESS})
    plan = {str(n): {"do": kind, "epoch": 1} for n in range(1, 3 * HOPELESS - 1)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert bench.session().ended == ended


def test_failures_of_any_kind_end_a_study_after_many_in_a_row(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ASHA, rules={"trials": None, "epoch_budget": 90})
    plan = {str(n): {"do": "nan", "epoch": 1} for n in range(5, 1000)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    state = bench.session()
    assert state.ended == "failures"
    failed = [t for t in state.trials if t.outcome is Outcome.FAILED_NAN]
    assert len(failed) == HOPELESS_OF_ANY_KIND


def test_an_epoch_in_between_begins_the_row_anew(tmp_path: Path) -> None:
    trials = 5 * HOPELESS
    bench = Bench(tmp_path, ASHA, rules={"trials": trials})
    sound = range(0, trials, HOPELESS - 3)
    plan = {str(n): BROKEN for n in range(trials) if n not in sound}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert bench.session().ended == "trials"


def test_what_many_workers_trained_before_it_failed_makes_no_row(
    tmp_path: Path,
) -> None:
    """Each failed in its second epoch, all of them one after another."""
    bench = Bench(
        tmp_path, FullTraining(4), rules={"trials": 99, "concurrent": 2 * HOPELESS}
    )
    desk = bench.desk(bench.journal())
    segments = [desk.conductor.ask() for _ in range(2 * HOPELESS)]
    for segment in segments:
        assert isinstance(segment, Segment)
        desk.conductor.epoch_done(segment, 1, {"val_mae": 1.0}, "c")
    for segment in segments:
        assert isinstance(segment, Segment)
        desk.conductor.segment_failed(segment, Outcome.FAILED_DATA, "gone")
    assert isinstance(desk.conductor.ask(), Segment)


def test_what_comes_first_ends_the_study(tmp_path: Path) -> None:
    for name, trials, ended in (("few", 3, "trials"), ("many", 99, "epochs")):
        (tmp_path / name).mkdir()
        rules = {"trials": trials, "epoch_budget": 20}
        state = Bench(tmp_path / name, ASHA, rules=rules).session()
        assert state.ended == ended


# Configurations ----------------------------------------------------------------------


def few(highest: int) -> Space:
    """`highest` configurations."""
    return toy_space(
        x={"type": "integer", "low": 1, "high": highest},
        y={"type": "choice", "values": [0.5, 0.6]},
    ).model_copy(update={"constraints": ("y <= 0.55",)})


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("budget", [{"trials": 30}, {"trials": None}])
def test_a_study_ends_when_every_configuration_has_a_trial(
    tmp_path: Path, workers: int, budget: dict[str, int | None]
) -> None:
    rules = {**budget, "epoch_budget": 1000, "concurrent": workers}
    bench = Bench(tmp_path, ASHA, space=few(9), rules=rules)
    state = bench.session()
    assert state.ended == "exhausted"
    assert sorted(t.configuration["x"] for t in state.trials) == list(range(1, 10))
    reached = [max(t.rung_values) for t in state.trials]
    assert reached.count(9) >= 1, "promotions went on"
    waiting = [t.number for t in state.trials if t.waiting]
    assert {state.outcome_of(n) for n in waiting} == {Outcome.STOPPED}
    assert bench.session().trials == state.trials, "nothing is left to go on with"


def test_a_larger_space_goes_on_after_an_exhausted_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ASHA, space=few(3), rules={"trials": 5})
    assert bench.session().ended == "exhausted"
    bench.space = few(6)
    state = bench.session()
    assert state.ended == "trials"
    assert len({t.configuration["x"] for t in state.trials}) == 5


def test_a_space_whose_every_configuration_failed_ends_the_study_as_exhausted(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, ASHA, space=few(3), rules={"trials": 5})
    plan = {str(number): BROKEN for number in range(5)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    state = bench.session()
    assert (len(state.trials), state.ended) == (3, "exhausted")


# Trials ------------------------------------------------------------------------------


def test_a_larger_budget_promotes_trials_that_waited_from_their_checkpoint(
    tmp_path: Path,
) -> None:
    known = tuple({"x": 0.3, "y": 0.1 * k} for k in (7, 6, 5, 4, 3, 2, 1))
    space = square(known_good=known)
    bench = Bench(tmp_path, ASHA, space=space, rules={"trials": 6})
    first = bench.session()
    third = first.trials[2]
    assert third.waiting
    assert third.outcome is None
    assert first.outcome_of(2) is Outcome.STOPPED
    assert sorted(third.rung_values) == [1], "two of six went on, the two before it"
    bench.space = square(
        known_good=(*known, {"x": 0.3, "y": 0.05}, {"x": 0.3, "y": 0.02})
    )
    bench.rules = {"trials": 9}
    second = bench.session()
    assert sorted(second.trials[2].rung_values) == [1, 3], "three of nine do"
    assert starts(tmp_path, 2) == ["0", "1"]


def test_a_study_that_grew_is_the_one_that_was_large_from_the_start(
    tmp_path: Path,
) -> None:
    """Promotions are made as soon as they are due, whatever the budget."""
    (tmp_path / "whole").mkdir()
    whole = Bench(tmp_path / "whole", ASHA, rules={"trials": 27}).session()
    (tmp_path / "grown").mkdir()
    grown = Bench(tmp_path / "grown", ASHA, rules={"trials": 9})
    grown.session()
    grown.rules = {"trials": 27}
    assert grown.session().trials == whole.trials


def test_trials_that_an_older_version_closed_stay_closed(tmp_path: Path) -> None:
    from search.journal import SessionEnded, TrialFinished

    bench = Bench(tmp_path, ASHA, rules={"trials": 3})
    desk = bench.desk(bench.journal())
    segment = desk.conductor.ask()
    assert isinstance(segment, Segment)
    desk.conductor.epoch_done(segment, 1, {"val_mae": 0.5}, "c")
    desk.conductor.segment_finished(segment, "c", None)
    journal = bench.journal()
    journal.append(TrialFinished(trial=0, outcome=Outcome.STOPPED, epoch=1, value=0.5))
    journal.append(SessionEnded(reason="trials"))
    state = bench.session()
    assert state.trials[0].outcome is Outcome.STOPPED
    assert state.trials[0].attempts == 1


# GPU-hours ---------------------------------------------------------------------------


def test_gpu_time_is_that_of_all_segments_at_once(tmp_path: Path) -> None:
    watch = Watch()
    rules = {"concurrent": 2, "gpus": 0.5, "gpu_seconds": 100.0}
    bench = Bench(tmp_path, FullTraining(4), rules=rules)
    conductor = bench.desk(bench.journal(clock=watch.clock())).conductor
    first, second = conductor.ask(), conductor.ask()
    assert isinstance(first, Segment)
    assert isinstance(second, Segment)
    watch.now = 60.0
    assert conductor.spent.gpu_seconds == 60.0
    conductor.epoch_done(first, 1, {"val_mae": 1.0}, "c")
    conductor.segment_failed(first, Outcome.FAILED_NAN, "nan")
    assert StudyState.read(tmp_path / "journal.jsonl").gpu_seconds == 30.0
    assert not conductor.is_out_of_time
    watch.now = 140.0
    assert conductor.spent.gpu_seconds == 100.0
    assert conductor.is_out_of_time
    assert conductor.ask() is Answer.DONE
    assert conductor.end_reason is EndReason.GPU_HOURS
    conductor.end(conductor.end_reason)
    state = StudyState.read(tmp_path / "journal.jsonl")
    assert state.gpu_seconds == 100.0
    assert state.trials[1].interrupted, "it goes on with a larger budget"
    bench.rules = {**rules, "gpu_seconds": 1e6, "trials": 2}
    assert bench.session().trials[1].outcome is Outcome.COMPLETED


def test_gpu_time_of_a_killed_driver_counts_up_to_its_last_word(
    tmp_path: Path,
) -> None:
    watch = Watch()
    bench = Bench(tmp_path, FullTraining(4), rules={"gpus": 2.0})
    conductor = bench.desk(bench.journal(clock=watch.clock())).conductor
    segment = conductor.ask()
    assert isinstance(segment, Segment)
    watch.now = 10.0
    conductor.epoch_done(segment, 1, {"val_mae": 1.0}, "c")
    watch.now = 1000.0
    again = bench.desk(bench.journal(clock=watch.clock())).conductor
    assert again.spent.gpu_seconds == 20.0
    assert again.spent.seconds == 10.0


# How a budget is shown ---------------------------------------------------------------


def test_every_limit_is_shown_beside_what_is_used() -> None:
    spent = Spent(4, 31, 40, seconds=90.0, gpu_seconds=1800.0)
    given = BudgetConfig(epochs=50, gpu_hours=2, wall_clock_minutes=60)
    assert used_of_budget(spent, study_budget(given)) == [
        "4 trials",
        "31 of 50 epochs",
        "1.5 of 60 min",
        "0.50 of 2 GPU-hours",
    ]


def test_the_state_of_a_waiting_trial_is_open_until_the_budget_is_used_up(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, ASHA, rules={"trials": 2})
    desk = bench.desk(bench.journal())
    segment = desk.conductor.ask()
    assert isinstance(segment, Segment)
    desk.conductor.epoch_done(segment, 1, {"val_mae": 0.5}, "c")
    desk.conductor.segment_finished(segment, "c", None)
    for reason, outcome in (
        (EndReason.INTERRUPTED, None),
        (EndReason.WALL_CLOCK, None),
        (EndReason.EPOCHS, Outcome.STOPPED),
        (EndReason.TRIALS, Outcome.STOPPED),
        (EndReason.EXHAUSTED, Outcome.STOPPED),
    ):
        desk.conductor.end(reason)
        state = StudyFolder(tmp_path).state()
        assert state.outcome_of(0) is outcome
        assert state.trials[0].outcome is None
