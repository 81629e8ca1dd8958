"""The memory of trials: what they had at first, and what cannot be planned."""

from pathlib import Path

import pytest
from support.toy_study import study_document, write_study

from search.journal import Journal, SegmentStarted
from search.study import memory
from search.study.load import load_study
from search.study.memory import first_memory
from search.study.prepare import StudyData, settings_key
from search.trial.memory import Room
from sitenet_core.data import Split
from sitenet_core.errors import InfrastructureError
from sitenet_core.families import get_family


def started(trial: int, room: int | None, gpus: float = 0) -> SegmentStarted:
    return SegmentStarted(
        trial=trial,
        attempt=1,
        from_epoch=0,
        until_epoch=1,
        checkpoint=None,
        folder="attempt-1",
        gpus=gpus,
        memory_bytes=room,
    )


def test_the_first_division_on_a_cpu_counts(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.jsonl")
    assert first_memory(journal.entries) is None
    rooms = ((None, 0), (9 * 10**10, 1.0), (5 * 10**9, 0), (7 * 10**9, 0))
    for trial, (room, gpus) in enumerate(rooms):
        journal.append(started(trial, room, gpus))
    assert first_memory(journal.entries) == 5 * 10**9


def test_a_store_that_went_away_is_the_fault_of_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room("cpu", 1, 10**9)
    monkeypatch.setattr(memory, "_room", lambda _study, _concurrent: room)
    study = load_study(write_study(tmp_path, study_document(tmp_path / "crystals")))
    split = Split(
        column="target",
        config=study.config.data.split,
        cell_limit=8,
        store_digest="",
        train=("a",),
        validation=("b",),
        test=("c",),
    )
    settings = get_family("sitenet").settings(study.base)
    data = StudyData({settings_key(settings): tmp_path / "gone"}, split, "")
    plan = memory.memory_planner(study, data, 1)
    with pytest.raises(InfrastructureError, match=r"could not be read: .*gone.*resume"):
        plan({"optimizer.learning_rate": 1e-3}, 2, None)
