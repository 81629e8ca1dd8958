"""The study's only truth: an append-only file of checked events, each one fsync'd."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.journal.events import Event, SessionStarted, event_from
from search.journal.lines import DamagedLineError, decode_line, encode_line
from sitenet_core.durable import sync_folder
from sitenet_core.errors import InfrastructureError

VERSION = 1
_ENVELOPE = ("v", "seq", "time", "elapsed", "session", "event")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clock:
    """Where the journal takes its times from."""

    wall: Callable[[], datetime] = _now
    """For people only: nothing is computed from it, so it may be set back."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds; measures how long a session has lasted."""


@dataclass(frozen=True)
class Entry:
    """One event with its place in the journal."""

    seq: int
    """Counts from 1 without a gap."""
    time: str
    """ISO 8601, UTC."""
    session: int
    """Driver session that wrote it; 0 before the first has started."""
    elapsed: float
    """Seconds since that session started, by a clock that cannot be set back."""
    event: Event


def read_journal(path: Path) -> list[Entry]:
    """Return every intact event of `path`; a torn last line is left out.

    Raises:
        InfrastructureError: if the file cannot be read, or is damaged anywhere but in
            an unfinished last line, with the number of the line.
    """
    return _read(path)[0]


@dataclass
class Journal:
    """An open journal. One writer at a time: the study's lock sees to that."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    entries: list[Entry] = field(default_factory=list)
    _length: int = 0
    """Bytes of the whole lines."""
    _size: int = 0
    """Bytes of the file as this writer left it, a torn last line included."""
    _session: int = 0
    _session_began: float = 0.0

    @classmethod
    def open(cls, path: Path, clock: Clock | None = None) -> "Journal":
        """Return the journal at `path`, empty if there is no file yet.

        Opening writes nothing; a torn last line is cut off by the first append.

        Raises:
            InfrastructureError: as `read_journal`.
        """
        clock = clock or Clock()
        entries, length, size = _read(path) if path.exists() else ([], 0, 0)
        session = entries[-1].session if entries else 0
        return cls(path, clock, entries, length, size, session, clock.monotonic())

    def append(self, event: Event) -> Entry:
        """Write `event` to the disk, durably, and return its entry.

        Raises:
            InfrastructureError: if it cannot be written (a full disk, say), or the
                file is not as this writer left it (a second driver, where locks do not
                work); it then holds exactly what it held before.
        """
        if isinstance(event, SessionStarted):
            self._session = event.session
            self._session_began = self.clock.monotonic()
        entry = Entry(
            seq=len(self.entries) + 1,
            time=self.clock.wall().isoformat(timespec="milliseconds"),
            session=self._session,
            elapsed=round(self.clock.monotonic() - self._session_began, 3),
            event=event,
        )
        line = encode_line(_payload(entry))
        self._write(line)
        self._length += len(line)
        self._size = self._length
        self.entries.append(entry)
        return entry

    def _write(self, line: bytes) -> None:
        created = not self.path.exists()
        descriptor = -1
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            self._check_unchanged(os.fstat(descriptor).st_size)
            if self._size > self._length:
                os.ftruncate(descriptor, self._length)
            _write_all(descriptor, line, self._length)
            os.fsync(descriptor)
            if created:
                sync_folder(self.path.parent)
        except OSError as error:
            if descriptor >= 0:
                # Where even this fails, the next reader drops the torn line.
                with suppress(OSError):
                    os.ftruncate(descriptor, self._length)
                self._size = os.fstat(descriptor).st_size
            raise InfrastructureError(
                f"{self.path}: the event could not be written ({error.strerror}); "
                "nothing that was journalled before is lost: make room or mend the "
                "disk, then go on with --resume"
            ) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _check_unchanged(self, size: int) -> None:
        """Refuse to cut off what somebody else has written.

        The study's lock keeps a second writer out; on a file system whose locks do not
        work between machines, this is what is left.
        """
        if size != self._size:
            raise InfrastructureError(
                f"{self.path}: another process changed the journal ({size} bytes where "
                f"this one left {self._size}); nothing was written: see that one "
                "driver runs the study, then go on with --resume"
            )


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _payload(entry: Entry) -> dict[str, Any]:
    fields = entry.event.model_dump(mode="json")
    fields.pop("session", None)
    return {
        "v": VERSION,
        "seq": entry.seq,
        "time": entry.time,
        "elapsed": entry.elapsed,
        "session": entry.session,
        "event": entry.event.event,
        **fields,
    }


def _read(path: Path) -> tuple[list[Entry], int, int]:
    """Return the entries of `path`, the bytes of their lines and those of the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InfrastructureError(
            f"{path}: the journal cannot be read ({error.strerror})"
        ) from error
    intact = content[: content.rfind(b"\n") + 1]
    entries = [
        _entry(path, number, line)
        for number, line in enumerate(intact.split(b"\n")[:-1], start=1)
    ]
    return entries, len(intact), len(content)


def _entry(path: Path, number: int, line: bytes) -> Entry:
    where = f"{path}:{number}"
    try:
        payload = decode_line(line)
    except DamagedLineError as error:
        raise InfrastructureError(
            f"{where}: the journal is damaged: {error}; restore the file from a "
            "backup, since events after a damaged line cannot be trusted"
        ) from error
    if payload.get("v") != VERSION:
        raise InfrastructureError(
            f"{where}: journal format {payload.get('v')!r}, but this program reads "
            f"format {VERSION}; use the version of sitenet that wrote it"
        )
    if payload.get("seq") != number:
        raise InfrastructureError(
            f"{where}: event {payload.get('seq')} stands where event {number} was "
            "expected: lines are missing or repeated; restore the file from a backup"
        )
    return _typed(where, payload)


def _typed(where: str, payload: dict[str, Any]) -> Entry:
    name = payload["event"]
    fields = {k: v for k, v in payload.items() if k not in _ENVELOPE}
    if name == SessionStarted.event:
        fields["session"] = payload["session"]
    try:
        event = event_from(name, fields)
    except (KeyError, ValidationError) as error:
        raise InfrastructureError(
            f"{where}: event {name!r} is not one this program knows in this form; use "
            f"the version of sitenet that wrote it ({error})"
        ) from error
    return Entry(
        seq=payload["seq"],
        time=payload["time"],
        session=payload["session"],
        elapsed=payload["elapsed"],
        event=event,
    )
