"""The memory that a study's trials were divided for when it began."""

from pathlib import Path

from search.journal import Journal, SegmentStarted
from search.study.memory import first_memory


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
