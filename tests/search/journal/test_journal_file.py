"""The journal file: durable appends, torn tails, damage."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.journal import (
    Clock,
    EpochDone,
    Journal,
    SessionStarted,
    StudyCreated,
    read_journal,
)
from search.journal.lines import DamagedLineError, decode_line, encode_line
from sitenet_core.errors import InfrastructureError


def written(folder: Path, n_epochs: int = 3) -> Path:
    """Return a journal with two opening events and `n_epochs` epochs."""
    path = folder / "journal.jsonl"
    journal = Journal.open(path)
    journal.append(StudyCreated(name="s", study_digest="a", space_digest="b"))
    journal.append(SessionStarted(session=1, host="h", pid=1))
    for epoch in range(1, n_epochs + 1):
        journal.append(epoch_event(epoch))
    return path


def epoch_event(epoch: int) -> EpochDone:
    return EpochDone(trial=0, attempt=1, epoch=epoch, metrics={"val_mae": 1 / epoch})


@pytest.fixture(scope="module")
def content() -> bytes:
    with TemporaryDirectory() as folder:
        return written(Path(folder)).read_bytes()


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    path = written(tmp_path)
    entries = read_journal(path)
    assert [e.seq for e in entries] == [1, 2, 3, 4, 5]
    assert entries[-1].event == epoch_event(3)
    assert [e.session for e in entries] == [0, 1, 1, 1, 1]
    assert Journal.open(path).entries == entries


def test_every_line_is_json_with_the_promised_keys(content: bytes) -> None:
    for line in content.splitlines():
        payload = json.loads(line)
        assert payload["v"] == 1
        assert {"seq", "time", "session", "event", "crc"} <= payload.keys()


def test_every_append_reaches_the_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    written(tmp_path, n_epochs=2)
    assert len(synced) == 4 + 1, "one per event and one for the new file's folder"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_cut_anywhere_loses_only_the_line_it_tore(
    content: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(content)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert len(read_journal(path)) == whole
        journal = Journal.open(path)
        journal.append(epoch_event(9))
        assert [e.seq for e in read_journal(path)] == list(range(1, whole + 2))
        assert read_journal(path)[-1].event == epoch_event(9)


def test_a_torn_line_longer_than_the_next_event_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    path = written(tmp_path)
    with path.open("ab") as file:
        file.write(b"{" + b"x" * 5000)
    Journal.open(path).append(epoch_event(4))
    Journal.open(path).append(epoch_event(5))
    assert [e.seq for e in read_journal(path)] == [1, 2, 3, 4, 5, 6, 7]
    assert path.read_bytes().count(b"x" * 10) == 0


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_refused_with_its_line(
    content: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(content) - 2))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(content)
    damaged[place] ^= flip
    line = content[:place].count(b"\n") + 1
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(damaged)
        with pytest.raises(InfrastructureError, match=rf"journal.jsonl:{line}: .*"):
            read_journal(path)


def test_a_missing_line_is_refused(tmp_path: Path, content: bytes) -> None:
    lines = content.splitlines(keepends=True)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(InfrastructureError, match=r":3: event 4 stands where event 3"):
        read_journal(path)


def test_another_version_is_refused(tmp_path: Path, content: bytes) -> None:
    payload = decode_line(content.splitlines()[0])
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode_line({**payload, "v": 2}))
    with pytest.raises(InfrastructureError, match=r":1: journal format 2, but .* 1"):
        read_journal(path)


def test_an_unknown_event_is_refused(tmp_path: Path, content: bytes) -> None:
    payload = decode_line(content.splitlines()[0])
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode_line({**payload, "event": "trial_teleported"}))
    with pytest.raises(InfrastructureError, match="trial_teleported"):
        read_journal(path)


def test_a_full_disk_loses_nothing_and_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    journal = Journal.open(path)
    real_write = os.pwrite
    calls = [0]

    def full(descriptor: int, data: bytes, offset: int) -> int:
        calls[0] += 1
        if calls[0] > 1:
            raise OSError(28, "No space left on device")
        return real_write(descriptor, data[:10], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        journal.append(epoch_event(4))
    assert path.read_bytes() == before
    monkeypatch.undo()
    journal.append(epoch_event(4))
    assert [e.seq for e in read_journal(path)] == [1, 2, 3, 4, 5, 6]


def test_elapsed_time_ignores_a_clock_that_is_set_back(tmp_path: Path) -> None:
    wall = iter(datetime(2026, 1, 30 - day, tzinfo=UTC) for day in range(20))
    ticks = iter([5.0, 10.0, 10.0, 70.0])
    clock = Clock(wall=lambda: next(wall), monotonic=lambda: next(ticks))
    journal = Journal.open(tmp_path / "journal.jsonl", clock)
    journal.append(SessionStarted(session=1, host="h", pid=1))
    assert journal.append(epoch_event(1)).elapsed == 60.0


def test_nan_is_not_written(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="finite"):
        journal.append(
            EpochDone(trial=0, attempt=1, epoch=1, metrics={"val_mae": float("nan")})
        )
    assert read_journal_or_nothing(tmp_path) == []


def read_journal_or_nothing(folder: Path) -> list[object]:
    path = folder / "journal.jsonl"
    return list(read_journal(path)) if path.exists() else []


@pytest.mark.parametrize("line", [b"", b"{}", b"not json", b'{"a":1}'])
def test_a_line_without_checksum_is_damaged(line: bytes) -> None:
    with pytest.raises(DamagedLineError, match="checksum"):
        decode_line(line)
