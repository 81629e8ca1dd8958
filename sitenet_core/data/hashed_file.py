"""A file of a store while it is written."""

import hashlib
import os
from pathlib import Path
from typing import IO

from sitenet_core.data.header import FileEntry

_BLOCK = 1 << 20


class DamagedBuildError(Exception):
    """The files of an unfinished store are not what its progress says."""


class HashedFile:
    """A file whose size and checksum are known all the time."""

    def __init__(self, path: Path, kept: FileEntry | None = None) -> None:
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._stream: IO[bytes]
        if kept is None:
            self._stream = path.open("xb")
            return
        if not path.is_file():
            raise DamagedBuildError(path)
        path.chmod(0o644)
        self._stream = path.open("r+b")
        self._take_over(kept)

    def _take_over(self, kept: FileEntry) -> None:
        while self._bytes < kept.bytes:
            block = self._stream.read(min(_BLOCK, kept.bytes - self._bytes))
            if not block:
                break
            self._hash.update(block)
            self._bytes += len(block)
        if self.entry != kept:
            self._stream.close()
            raise DamagedBuildError(self._stream.name)
        self._stream.seek(kept.bytes)
        self._stream.truncate()

    @property
    def entry(self) -> FileEntry:
        """Size and checksum of what was written so far."""
        return FileEntry(bytes=self._bytes, sha256=self._hash.hexdigest())

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._stream.write(data)
        self._hash.update(data)
        self._bytes += len(data)

    def sync(self) -> FileEntry:
        """Bring what was written to disk and return its entry."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return self.entry

    def close(self) -> FileEntry:
        """Bring the file to disk, make it read-only, and return its entry."""
        entry = self.sync()
        os.fchmod(self._stream.fileno(), 0o444)
        self._stream.close()
        return entry

    def abandon(self) -> None:
        """Close without any promise about the content."""
        self._stream.close()
