"""Files that go away while a study runs: its data, the checkpoints of its trials."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from support.conducted_study import Bench, Killed
from support.fault_checks import check_no_trial_twice, essence
from support.simulated_study import square

from search.engine.budget import Spent
from search.engine.desk import Desk
from search.engine.schedulers import Asha
from search.journal import (
    CheckpointGivenUp,
    SegmentFailed,
    StudyState,
    read_journal,
)
from search.study.live import Lines
from search.trial.outcome import Outcome
from search.trial.payload import SegmentPayload
from sitenet_core.errors import InfrastructureError

KNOWN = tuple({"x": 0.3, "y": 0.1 * k} for k in (7, 6, 5, 4, 3, 2, 1, 0.5, 0.2))
"""The earlier the better: a larger budget promotes some that wait."""


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: here drivers die by an exception, which loses no cached write."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def bench(folder: Path, trials: int = 6) -> Bench:
    folder.mkdir(exist_ok=True)
    scheduler = Asha(epochs=9, min_epochs=1, eta=3)
    space = square(known_good=KNOWN)
    return Bench(folder, scheduler, space=space, rules={"trials": trials})


def checkpoint_of(folder: Path, state: StudyState, number: int) -> Path:
    path = state.trials[number].last_checkpoint
    assert path is not None
    return folder / path


@pytest.mark.parametrize(("trial", "epoch"), [(0, 1), (5, 1), (0, 2), (1, 2), (0, 4)])
def test_data_that_are_away_end_the_session_and_no_trial(
    tmp_path: Path, trial: int, epoch: int
) -> None:
    expected = bench(tmp_path / "whole").session()
    study = bench(tmp_path / "away")
    plan = {str(n): {"do": "away", "epoch": epoch} for n in range(trial, 100)}
    (study.folder / "plan.json").write_text(json.dumps(plan))
    words = r"trial \d could not read its data: .*nothing that was finished is lost"
    for _ in range(3):
        with pytest.raises(InfrastructureError, match=words):
            study.session()
    state = StudyState.read(study.folder / "journal.jsonl")
    assert not any(t.outcome and t.outcome.is_failure for t in state.trials)
    (study.folder / "plan.json").unlink()
    assert essence(study.session()) == essence(expected)


LOSSES: dict[str, Callable[[Path], None]] = {
    "the file": Path.unlink,
    "its content": lambda path: path.write_text("") and None,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_trial_that_lost_its_checkpoint_is_trained_anew_and_not_blamed(
    tmp_path: Path, loss: str
) -> None:
    whole = bench(tmp_path / "whole")
    whole.session()
    whole.rules = {"trials": 9}
    expected = whole.session()

    study = bench(tmp_path / "lost")
    before = study.session()
    waiting = [t.number for t in before.trials if t.waiting]
    for number in waiting:
        LOSSES[loss](checkpoint_of(study.folder, before, number))
    study.rules = {"trials": 9}
    state = study.session()
    assert essence(state) == essence(expected)
    entries = read_journal(study.folder / "journal.jsonl")
    check_no_trial_twice(entries)
    lost = [e.event.trial for e in entries if isinstance(e.event, CheckpointGivenUp)]
    assert lost, "one of them was promoted"
    assert len(set(lost)) == len(lost), "each loss is noticed once"
    assert set(lost) <= set(waiting)
    again = state.trials[lost[0]]
    at_first, second = before.trials[lost[0]], f"attempt-{again.attempts}"
    log = study.folder / f"trials/{again.number:05d}/{second}/log.txt"
    assert "starts from epoch 0" in log.read_text()
    assert again.attempts > at_first.attempts + 1
    extra = Spent.of(state).epochs - Spent.of(expected).epochs
    assert extra == sum(before.trials[n].last_epoch for n in lost)


def test_a_person_is_told_of_a_lost_checkpoint_in_one_line(tmp_path: Path) -> None:
    study = bench(tmp_path)
    before = study.session()
    for trial in before.trials:
        if trial.waiting:
            checkpoint_of(tmp_path, before, trial.number).unlink()
    console = Console(file=io.StringIO(), width=200)
    lines = Lines(console)
    lines.show(before)
    study.rules = {"trials": 9}
    state = study.session()
    lines.show(state)
    lines.show(state)
    assert isinstance(console.file, io.StringIO)
    told = [line for line in console.file.getvalue().splitlines() if "lost" in line]
    assert told
    entries = read_journal(tmp_path / "journal.jsonl")
    failed = [e.event for e in entries if isinstance(e.event, SegmentFailed)]
    assert [f.kind for f in failed] == [Outcome.CANCELLED] * len(told)
    assert sorted(told) == sorted(
        f"trial {f.trial} lost its checkpoint and is trained anew: last.json: gone or "
        "damaged"
        for f in failed
    )


@pytest.mark.parametrize("keeps_last", [True, False])
def test_drivers_may_die_anywhere_while_checkpoints_are_lost(
    tmp_path: Path, *, keeps_last: bool
) -> None:
    expected = bench(tmp_path / "whole", 9).session()
    study, deaths = bench(tmp_path / "lost", 9), 0
    for _ in range(200):
        for path in study.folder.glob("trials/*/*/checkpoints/last.json"):
            path.unlink()
        try:
            # With fewer lives no driver would live to see the end of any rung.
            state = study.session(lives=25, keeps_last=keeps_last)
        except Killed:
            deaths += 1
        else:
            break
    assert deaths > 2
    assert essence(state) == essence(expected)
    entries = read_journal(study.folder / "journal.jsonl")
    check_no_trial_twice(entries)
    assert any(isinstance(e.event, CheckpointGivenUp) for e in entries)


def test_a_loss_in_every_segment_is_no_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bench(tmp_path / "whole").session()
    study = bench(tmp_path / "lost")
    real = Desk.next

    def after_a_loss(desk: Desk, handle: str) -> object:
        answer = real(desk, handle)
        if isinstance(answer, SegmentPayload) and answer.checkpoint is not None:
            Path(answer.checkpoint).unlink()
        return answer

    monkeypatch.setattr(Desk, "next", after_a_loss)
    state = study.session()
    assert essence(state) == essence(expected)
    rungs = sum(len(t.rung_values) for t in state.trials)
    assert sum(t.attempts for t in state.trials) < 2 * rungs
