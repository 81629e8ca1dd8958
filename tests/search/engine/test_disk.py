"""Which checkpoints are on the disk: all that a trial goes on from, and no others."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.conducted_study import Bench, Killed
from support.simulated_study import square

from search.engine.budget import Spent
from search.engine.disk import remove_checkpoints
from search.engine.schedulers import Asha, FullTraining, Scheduler, StoppingAsha, asha
from search.journal import CheckpointGivenUp, StudyState, TrialRecord, read_journal
from search.trial.outcome import Outcome

ASHA = Asha(epochs=9, min_epochs=1, eta=3)
SCHEDULERS = [ASHA, StoppingAsha(epochs=9, min_epochs=1, eta=3), FullTraining(4)]


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: here drivers die by an exception, which loses no cached write.

    Small studies stand for large ones.
    """
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr(asha, "LEAST_TRIALS", 0)


def on_disk(folder: Path) -> set[str]:
    """Return the checkpoints that are there, as the journal calls them."""
    found = folder.glob("trials/*/attempt-*/checkpoints/*")
    return {str(path.relative_to(folder)) for path in found}


def needed(state: StudyState) -> set[str]:
    """Return the checkpoints that the journal says trials go on from."""
    return {
        t.last_checkpoint
        for t in state.trials
        if t.outcome is None and t.last_checkpoint is not None
    }


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("workers", [1, 3])
def test_what_nothing_goes_on_from_is_removed_and_nothing_else(
    tmp_path: Path, scheduler: Scheduler, workers: int
) -> None:
    rules = {"trials": 12, "concurrent": workers}
    state = Bench(tmp_path, scheduler, rules=rules).session()
    assert on_disk(tmp_path) == needed(state)
    assert len(needed(state)) <= 8, "two thirds of the trials"
    done = [t for t in state.trials if t.outcome is Outcome.COMPLETED]
    assert done
    for trial in done:
        assert (tmp_path / str(trial.bundle)).is_dir()
    assert len(list(tmp_path.glob("trials/*/attempt-*/log.txt"))) == sum(
        t.attempts for t in state.trials
    )


@pytest.mark.parametrize("keeps_last", [True, False])
def test_a_checkpoint_that_is_needed_is_there_whenever_a_driver_dies(
    tmp_path: Path, *, keeps_last: bool
) -> None:
    bench = Bench(tmp_path, ASHA, rules={"trials": 12, "concurrent": 2})
    deaths = 0
    for _ in range(200):
        try:
            bench.session(lives=7, keeps_last=keeps_last)
        except Killed:
            deaths += 1
            state = StudyState.read(tmp_path / "journal.jsonl")
            assert needed(state) <= on_disk(tmp_path)
        else:
            break
    assert deaths > 5
    state = StudyState.read(tmp_path / "journal.jsonl")
    assert state.ended == "trials"
    assert on_disk(tmp_path) == needed(state)


def test_a_removal_that_a_kill_cut_short_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    whole = Bench(tmp_path / "whole", ASHA, rules={"trials": 9}).session()
    (tmp_path / "killed").mkdir()
    bench = Bench(tmp_path / "killed", ASHA, rules={"trials": 9})
    real = shutil.rmtree

    def die(folder: Path, **_options: Any) -> None:
        (folder / "best.json").write_text("a second file, still there")
        (folder / "last.json").unlink()
        raise Killed

    for _ in range(4):
        monkeypatch.setattr(shutil, "rmtree", die)
        with pytest.raises(Killed):
            bench.session()
        monkeypatch.setattr(shutil, "rmtree", real)
        bench.desk(bench.journal())
    state = bench.session()
    assert on_disk(bench.folder) == needed(state)
    assert [dict(t.rung_values) for t in state.trials] == [
        dict(t.rung_values) for t in whole.trials
    ]
    assert [t.outcome for t in state.trials] == [t.outcome for t in whole.trials]


def test_a_trial_without_its_checkpoint_is_trained_anew_when_the_budget_grows(
    tmp_path: Path,
) -> None:
    known = tuple({"x": 0.3, "y": 0.1 * k} for k in (7, 6, 5))
    bench = Bench(tmp_path, ASHA, space=square(known_good=known), rules={"trials": 3})
    first = bench.session()
    assert first.trials[2].last_checkpoint is None
    events = [e.event for e in read_journal(tmp_path / "journal.jsonl")]
    given_up = [e for e in events if isinstance(e, CheckpointGivenUp)]
    assert [e.trial for e in given_up] == [2]
    assert not (tmp_path / "trials/00002/attempt-1/checkpoints").exists()
    at_first = first.trials[2].rung_values[1]

    worse = tuple({"x": 0.3, "y": 0.01 * k} for k in range(6))
    bench.space = square(known_good=(*known, *worse))
    bench.rules = {"trials": 9}
    second = bench.session()
    again = second.trials[2]
    assert sorted(again.rung_values) == [1, 3], "its place at the first rung was kept"
    assert again.rung_values[1] == at_first
    assert again.attempts == 2
    log = (tmp_path / "trials/00002/attempt-2/log.txt").read_text()
    assert "starts from epoch 0" in log
    trained = sum(t.last_epoch for t in second.trials)
    assert Spent.of(second).epochs == trained + 1, "the repeated epoch was trained too"


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_only_of_an_unfinished_trial_and_one_set_aside_is_a_checkpoint_kept(
    tmp_path: Path, outcome: Outcome | None
) -> None:
    """A trial that an edit has set aside comes back if a later one has room for it."""
    for attempt in (1, 2):
        (tmp_path / f"attempt-{attempt}" / "checkpoints").mkdir(parents=True)
    last = "trials/00000/attempt-2/checkpoints/last.ckpt"
    record = TrialRecord(0, {}, outcome=outcome, last_checkpoint=last)
    remove_checkpoints(tmp_path, record)
    kept = sorted(p.parent.name for p in tmp_path.glob("*/checkpoints"))
    assert kept == (["attempt-2"] if outcome in {None, Outcome.OUTSIDE} else [])
