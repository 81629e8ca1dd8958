"""A packed store, opened read-only and memory-mapped."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sitenet_core.config.located import nearest
from sitenet_core.data.header import (
    FOLDS_FILE,
    FORMULAS_FILE,
    IDS_FILE,
    REDUCED_FORMULAS_FILE,
    REMEDY,
    REPORT_FILE,
    ArrayEntry,
    StoreHeader,
    read_header,
)
from sitenet_core.data.report import BuildReport
from sitenet_core.data.schema import CRYSTAL
from sitenet_core.errors import DataError, StoreError


class PackedStore:
    """The arrays, labels and folds of a data set's crystals, in the source's order.

    Get one from `PackedStore.open`. It never writes. Pickled, it is its path: a worker
    process maps the files anew.
    """

    def __init__(self, path: Path, header: StoreHeader) -> None:
        self.path = path
        self.header = header
        self._sizes = {
            scope: np.fromfile(path / file, "<i8")
            for scope, file in header.sizes.items()
        }
        for sizes in self._sizes.values():
            sizes.flags.writeable = False
        self._offsets = {
            scope: np.concatenate([[0], np.cumsum(sizes)])
            for scope, sizes in self._sizes.items()
        }
        self._arrays = {e.name: self._map(e) for e in header.arrays}
        self._scopes = {e.name: e.scope for e in header.arrays}

    @classmethod
    def open(cls, path: Path) -> "PackedStore":
        """Return the store at `path` after a cheap check: header and file sizes.

        Raises:
            StoreError: if there is no finished store of this schema version, or a file
                is missing or not of its recorded size. `verify` finds changed bytes.
        """
        header = read_header(path)
        for name, entry in header.files.items():
            file = path / name
            found = file.stat().st_size if file.is_file() else None
            if found != entry.bytes:
                state = "is missing" if found is None else f"has {found} bytes"
                raise StoreError(
                    f"{file}: {state}, the header says {entry.bytes} bytes: the store"
                    f" is incomplete; {REMEDY}"
                )
        return cls(path, header)

    def __reduce__(self) -> tuple[Any, ...]:
        return (PackedStore.open, (self.path,))

    def __len__(self) -> int:
        return self.header.n_crystals

    @property
    def digest(self) -> str:
        """SHA-256 of the contents; equal stores have equal digests."""
        return self.header.digest

    @cached_property
    def ids(self) -> list[str]:
        """Id of each crystal."""
        return self._read_texts(IDS_FILE)

    @cached_property
    def formulas(self) -> list[str]:
        """Content of each unit cell as the source gave it, e.g. `K4 Mn4 O8`."""
        return self._read_texts(FORMULAS_FILE)

    @cached_property
    def reduced_formulas(self) -> list[str]:
        """Reduced formula of each crystal; the key of a split by composition."""
        return self._read_texts(REDUCED_FORMULAS_FILE)

    @cached_property
    def folds(self) -> np.ndarray | None:
        """(n,) int32 official test fold, -1 without one; None: the source has none."""
        if not self.header.has_folds:
            return None
        return np.fromfile(self.path / FOLDS_FILE, "<i4")

    @property
    def report(self) -> BuildReport:
        """What was read, stored and skipped when the store was built."""
        text = (self.path / REPORT_FILE).read_text(encoding="utf-8")
        return BuildReport.model_validate_json(text)

    def sizes(self, scope: str) -> np.ndarray:
        """Return each crystal's number of rows in `scope`, (n,) int64."""
        if scope == CRYSTAL:
            return np.ones(len(self), dtype=np.int64)
        if scope not in self._sizes:
            raise DataError(
                f"{self.path}: no scope {scope!r}; {nearest(scope, self._sizes)}"
            )
        return self._sizes[scope]

    def record(self, index: int) -> dict[str, np.ndarray]:
        """Return read-only views of the arrays of crystal `index`, by name.

        The first axis of each runs over its scope; one row for crystal scope.

        Raises:
            IndexError: if `index` is not in [0, n).
        """
        if not 0 <= index < len(self):
            raise IndexError(f"crystal {index} of {len(self)}")
        views: dict[str, np.ndarray] = {}
        for name, array in self._arrays.items():
            scope = self._scopes[name]
            if scope == CRYSTAL:
                views[name] = array[index : index + 1]
            else:
                offsets = self._offsets[scope]
                views[name] = array[offsets[index] : offsets[index + 1]]
        return views

    def array(self, name: str) -> np.ndarray:
        """Return a read-only view of array `name` of all crystals, one after another.

        Raises:
            KeyError: if the schema has no such array.
        """
        return self._arrays[name]

    def column(self, name: str) -> np.ndarray:
        """Return an array of crystal scope, (n, *shape), or a label column, (n,).

        Raises:
            DataError: if there is neither; the message names those that are.
        """
        if self._scopes.get(name) == CRYSTAL:
            return self._arrays[name]
        if name in self.header.labels:
            return self.labels(name)
        known = [n for n, scope in self._scopes.items() if scope == CRYSTAL]
        known += self.header.labels
        raise DataError(f"{self.path}: no column {name!r}; {nearest(name, known)}")

    def labels(self, column: str) -> np.ndarray:
        """Return the values of a label column, (n,) float64, NaN where there is none.

        Raises:
            DataError: if the source has no such column; the message names those it has.
        """
        file = self.header.labels.get(column)
        if file is None:
            has = ", ".join(self.header.labels) or "none"
            raise DataError(
                f"source {self.header.source}: no column {column!r}; its columns:"
                f" {has}. Set `target.column` to one of them"
            )
        return np.fromfile(self.path / file, "<f8")

    def index_of(self, ids: Sequence[str]) -> np.ndarray:
        """Return the index of each id, (len(ids),) int64.

        Raises:
            DataError: if an id is not in the store.
        """
        try:
            found = [self._index[name] for name in ids]
        except KeyError as error:
            raise DataError(
                f"{self.path}: no crystal {error.args[0]!r}; the ids belong to another"
                " data set, or the crystal was skipped (see `sitenet data show`)"
            ) from error
        return np.array(found, dtype=np.int64)

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises:
            StoreError: names the files whose bytes were changed.
        """
        changed = []
        for name, entry in self.header.files.items():
            with (self.path / name).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != entry.sha256:
                changed.append(name)
        if changed:
            raise StoreError(
                f"{self.path}: changed after the store was built:"
                f" {', '.join(sorted(changed))}; {REMEDY}"
            )

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.ids)}

    def _read_texts(self, file: str) -> list[str]:
        texts: list[str] = json.loads((self.path / file).read_text(encoding="utf-8"))
        return texts

    def _map(self, entry: ArrayEntry) -> np.ndarray:
        shape = (self.header.rows[entry.scope], *entry.shape)
        if 0 in shape:
            # An empty file cannot be mapped.
            return np.empty(shape, dtype=entry.dtype)
        file = self.path / entry.file
        mapped = np.memmap(file, dtype=entry.dtype, mode="r", shape=shape)
        # A plain view: slicing the subclass costs several times as much per record.
        return mapped.view(np.ndarray)
