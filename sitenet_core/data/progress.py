"""What of an unfinished store is on disk, so that a later builder can go on from it.

A builder appends a line to `progress.jsonl` every few seconds, after it has brought the
files of the store to disk: their lengths and checksums, and the texts that only the end
of a build writes. A line carries a checksum of its own, so that a torn one counts as
not written. Whatever lies behind the last good line is cut and made again.
"""

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from sitenet_core.data.header import FileEntry
from sitenet_core.data.report import SkippedRow

PROGRESS_FILE = "progress.jsonl"


@dataclass
class Texts:
    """What a writer keeps in memory until the end, by crystal."""

    by_file: dict[str, list[str]]
    """Ids and formulas of the stored crystals, by the file they go to."""
    skipped: list[SkippedRow] = field(default_factory=list)

    def lengths(self) -> dict[str, int]:
        """Return how many there are of each."""
        counts = {name: len(texts) for name, texts in self.by_file.items()}
        return counts | {"skipped": len(self.skipped)}


@dataclass(frozen=True)
class Progress:
    """The state of an unfinished store at its last good line."""

    files: dict[str, FileEntry]
    """Size and checksum of the part of each file that counts."""
    rows: dict[str, int]
    """Rows of each scope."""
    texts: Texts
    good_bytes: int
    """Length of the good lines of the progress file."""


class ProgressLog:
    """The progress file of the one builder that writes to a folder."""

    def __init__(self, folder: Path, texts: Texts, resumed: Progress | None) -> None:
        self._texts = texts
        self._written = texts.lengths()
        self._stream = (folder / PROGRESS_FILE).open("ab")
        self._stream.truncate(0 if resumed is None else resumed.good_bytes)

    def record(self, files: dict[str, FileEntry], rows: dict[str, int]) -> None:
        """Append a line and bring it to disk; the files are there already."""
        since = self._written
        self._written = self._texts.lengths()
        content = {
            "files": {
                name: [entry.bytes, entry.sha256] for name, entry in files.items()
            },
            "rows": rows,
            "texts": {n: t[since[n] :] for n, t in self._texts.by_file.items()},
            "skipped": [
                [row.id, row.reason] for row in self._texts.skipped[since["skipped"] :]
            ],
        }
        text = json.dumps(content).encode()
        self._stream.write(_checksum(text) + b" " + text + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_progress(folder: Path) -> Progress | None:
    """Return what the folder of a builder that is gone holds; None if nothing."""
    lines: list[dict[str, Any]] = []
    good_bytes = 0
    try:
        content = (folder / PROGRESS_FILE).read_bytes()
    except OSError:
        return None
    for line in content.splitlines(keepends=True):
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or checksum != _checksum(text):
            break
        lines.append(json.loads(text))
        good_bytes += len(line)
    if not lines:
        return None
    names = lines[-1]["texts"]
    texts = {name: [t for line in lines for t in line["texts"][name]] for name in names}
    skipped = [
        SkippedRow(id=key, reason=reason)
        for line in lines
        for key, reason in line["skipped"]
    ]
    files = {
        name: FileEntry(bytes=size, sha256=digest)
        for name, (size, digest) in lines[-1]["files"].items()
    }
    return Progress(files, lines[-1]["rows"], Texts(texts, skipped), good_bytes)


def _checksum(text: bytes) -> bytes:
    return sha256(text).hexdigest().encode()
