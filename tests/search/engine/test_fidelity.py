"""Levels of a fidelity: each a training of its own, compared with its like only."""

import os
from pathlib import Path
from typing import Any

import pytest
from support.conducted_study import Bench, Killed

from search.engine.budget import Spent
from search.engine.fidelity import Fidelity, Level
from search.engine.schedulers import Asha, StoppingAsha
from search.engine.segment import Segment
from search.journal import SegmentStarted, StudyState, read_journal
from search.trial.outcome import Outcome

FIDELITY = Fidelity(
    (Level(0, 4, "a tenth"), Level(4, 8, "a third"), Level(8, 12, "all"))
)
LEVELS: dict[str, Any] = {"epochs": 12, "min_epochs": 1, "levels": FIDELITY.rungs}
PROMOTION, STOPPING = Asha(eta=3, **LEVELS), StoppingAsha(eta=3, **LEVELS)
RULES: dict[str, Any] = {"trials": 9, "anew_after": FIDELITY.rungs[:-1]}


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: here drivers die by an exception, which loses no cached write."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def segments(folder: Path, trial: int) -> list[SegmentStarted]:
    events = [e.event for e in read_journal(folder / "journal.jsonl")]
    return [e for e in events if isinstance(e, SegmentStarted) and e.trial == trial]


def train(bench: Bench, until: int, value: float) -> Segment:
    """Take the next segment up to an epoch of its level, always with `value`."""
    conductor = bench.desk(bench.journal()).conductor
    segment = conductor.ask()
    assert isinstance(segment, Segment)
    for epoch in range(segment.from_epoch + 1, until + 1):
        conductor.epoch_done(segment, epoch, {"val_mae": value}, f"c{epoch}")
    if until == segment.until_epoch:
        conductor.segment_finished(segment, f"c{until}", None)
    return segment


def test_rungs_are_the_ends_of_the_levels_and_have_their_names() -> None:
    assert FIDELITY.epochs == 12
    assert PROMOTION.rungs == STOPPING.rungs == (4, 8, 12)
    assert [FIDELITY.level_of(e).name for e in (1, 4, 5, 12, 99)] == [
        "a tenth",
        "a tenth",
        "a third",
        "all",
        "all",
    ]
    assert FIDELITY.name_of(8) == "a third"
    epochs = Fidelity((Level(0, 30),))
    assert (epochs.rungs, epochs.name_of(9)) == ((), "epoch 9")


@pytest.mark.parametrize("scheduler", [PROMOTION, STOPPING])
def test_each_level_starts_from_nothing(
    tmp_path: Path, scheduler: Asha | StoppingAsha
) -> None:
    bench = Bench(tmp_path, scheduler, rules=RULES)
    state = bench.session()
    done = [t for t in state.trials if t.outcome is Outcome.COMPLETED]
    assert done
    for trial in done:
        first, second, third = segments(tmp_path, trial.number)
        assert [s.begins_after for s in (first, second, third)] == [0, 4, 8]
        assert [s.from_epoch for s in (first, second, third)] == [0, 4, 8]
        assert {s.checkpoint for s in (first, second, third)} == {None}
        assert sorted(trial.rung_values) == [4, 8, 12]
        assert trial.bundle is not None
    assert Spent.of(state).epochs == sum(len(t.epoch_values) for t in state.trials)
    assert not list(tmp_path.glob("trials/*/*/checkpoints")), "nothing goes on from one"


def test_the_value_of_a_level_is_of_that_level_alone(tmp_path: Path) -> None:
    """More structures can make the objective larger: the smaller set was easier."""
    bench = Bench(tmp_path, PROMOTION, rules={**RULES, "trials": 1})
    train(bench, 4, 0.1)
    train(bench, 8, 0.5)
    record = StudyState.read(tmp_path / "journal.jsonl").trials[0]
    assert record.rung_values == {4: 0.1, 8: 0.5}
    assert record.value == 0.5


def test_an_interrupted_level_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PROMOTION, rules={**RULES, "trials": 1})
    train(bench, 4, 0.1)
    train(bench, 6, 0.5)
    again = train(bench, 8, 0.4)
    assert (again.from_epoch, again.begins_after, again.checkpoint) == (6, 4, "c6")
    record = StudyState.read(tmp_path / "journal.jsonl").trials[0]
    assert record.rung_values == {4: 0.1, 8: 0.4}


def test_a_level_that_was_cut_off_before_its_first_epoch_starts_again(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, PROMOTION, rules={**RULES, "trials": 1})
    train(bench, 4, 0.1)
    train(bench, 4, 0.0)
    again = train(bench, 8, 0.4)
    assert (again.from_epoch, again.begins_after, again.checkpoint) == (4, 4, None)
    assert again.attempt == 3


def test_a_driver_that_dies_at_the_end_of_a_level_carries_no_weights_on(
    tmp_path: Path,
) -> None:
    """The journal still names the checkpoint of the level that has ended."""
    bench = Bench(tmp_path, PROMOTION, rules={**RULES, "trials": 1})
    journal = bench.journal()
    conductor = bench.desk(journal).conductor
    segment = conductor.ask()
    assert isinstance(segment, Segment)
    for epoch in (1, 2, 3, 4):
        conductor.epoch_done(segment, epoch, {"val_mae": 0.1}, "c4")
    journal.lives = 1
    with pytest.raises(Killed):
        conductor.segment_finished(segment, "c4", None)
    record = StudyState.read(tmp_path / "journal.jsonl").trials[0]
    assert record.last_checkpoint == "c4"
    following = train(bench, 8, 0.5)
    assert (following.from_epoch, following.checkpoint) == (4, None)


@pytest.mark.parametrize("scheduler", [PROMOTION, STOPPING])
@pytest.mark.parametrize("keeps_last", [True, False])
@pytest.mark.parametrize("lives", [3, 8, 13])
def test_drivers_that_die_change_nothing(
    tmp_path: Path, scheduler: Asha | StoppingAsha, lives: int, *, keeps_last: bool
) -> None:
    (tmp_path / "whole").mkdir()
    whole = Bench(tmp_path / "whole", scheduler, rules=RULES).session()
    (tmp_path / "killed").mkdir()
    bench = Bench(tmp_path / "killed", scheduler, rules=RULES)
    for _ in range(8):
        try:
            bench.session(lives=lives, keeps_last=keeps_last)
        except Killed:
            continue
    state = bench.session()
    assert [(t.outcome, t.rung_values, t.epoch_values) for t in state.trials] == [
        (t.outcome, t.rung_values, t.epoch_values) for t in whole.trials
    ]
