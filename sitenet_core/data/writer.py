"""Writing a packed store's files, one chunk after the other."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sitenet_core.data.conform import stored_dtype
from sitenet_core.data.header import (
    FOLDS_FILE,
    FORMULAS_FILE,
    HEADER_FILE,
    IDS_FILE,
    REDUCED_FORMULAS_FILE,
    REPORT_FILE,
    ArrayEntry,
    FileEntry,
    StoreHeader,
)
from sitenet_core.data.report import BuildReport, SkippedRow
from sitenet_core.data.schema import CRYSTAL, FeatureRecipe, scopes
from sitenet_core.errors import InfrastructureError

if TYPE_CHECKING:
    from sitenet_core.data.packing import PackedChunk
    from sitenet_core.structures.sources.source import Source


class _HashedFile:
    """A file whose size and checksum are known when it is closed."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("xb")
        self._hash = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._stream.write(data)
        self._hash.update(data)
        self._bytes += len(data)

    def close(self) -> FileEntry:
        """Bring the file to disk, make it read-only, and return its entry."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        os.fchmod(self._stream.fileno(), 0o444)
        self._stream.close()
        return FileEntry(bytes=self._bytes, sha256=self._hash.hexdigest())

    def abandon(self) -> None:
        """Close without any promise about the content."""
        self._stream.close()


class StoreWriter:
    """Appends chunks to the files of a folder; the header, written last, ends it."""

    def __init__(self, folder: Path, recipe: FeatureRecipe, source: "Source") -> None:
        self._folder = folder
        self._recipe = recipe
        self._source = source
        self._texts: dict[str, list[str]] = {
            IDS_FILE: [],
            FORMULAS_FILE: [],
            REDUCED_FORMULAS_FILE: [],
        }
        self._skipped: list[SkippedRow] = []
        self._rows = dict.fromkeys([CRYSTAL, *scopes(recipe.schema)], 0)
        self._arrays = {s.name: f"array-{s.name}.bin" for s in recipe.schema}
        self._sizes = {s: f"sizes-{s}.bin" for s in scopes(recipe.schema)}
        # A column's name is the user's and may be no file name.
        self._labels = {c: f"label-{i}.bin" for i, c in enumerate(source.columns)}
        names = [*self._arrays.values(), *self._sizes.values(), *self._labels.values()]
        names += [FOLDS_FILE] if source.has_folds else []
        with self._disk_errors():
            self._files = {name: _HashedFile(folder / name) for name in names}

    @property
    def report(self) -> BuildReport:
        """What was read, stored and skipped so far."""
        n_stored = self._rows[CRYSTAL]
        return BuildReport(
            n_read=n_stored + len(self._skipped),
            n_stored=n_stored,
            skipped=tuple(self._skipped),
        )

    def append(self, chunk: "PackedChunk") -> None:
        """Write the crystals of `chunk` behind those that are there.

        Raises:
            InfrastructureError: if the disk refuses.
        """
        self._texts[IDS_FILE] += chunk.ids
        self._texts[FORMULAS_FILE] += chunk.formulas
        self._texts[REDUCED_FORMULAS_FILE] += chunk.reduced_formulas
        self._skipped += chunk.skipped
        self._rows[CRYSTAL] += len(chunk.ids)
        with self._disk_errors():
            for name, values in chunk.arrays.items():
                self._files[self._arrays[name]].write(values.tobytes())
            for scope, sizes in chunk.sizes.items():
                self._rows[scope] += int(sizes.sum())
                self._files[self._sizes[scope]].write(sizes.tobytes())
            for column, file in enumerate(self._labels.values()):
                values = chunk.labels[:, column].astype("<f8")
                self._files[file].write(values.tobytes())
            if self._source.has_folds:
                self._files[FOLDS_FILE].write(chunk.folds.tobytes())

    def finish(self, identity: str) -> None:
        """Write texts, report and header, all brought to disk.

        Raises:
            InfrastructureError: if the disk refuses.
        """
        with self._disk_errors():
            for name, texts in self._texts.items():
                self._add_text(name, json.dumps(texts, ensure_ascii=False))
            self._add_text(REPORT_FILE, self.report.model_dump_json(indent=1))
            entries = {name: file.close() for name, file in self._files.items()}
            header = self._header(identity, entries)
            last = _HashedFile(self._folder / HEADER_FILE)
            last.write(header.model_dump_json(indent=1).encode("utf-8"))
            last.close()

    def abandon(self) -> None:
        """Close every file of a store that will not be finished."""
        for file in self._files.values():
            file.abandon()

    def _add_text(self, name: str, text: str) -> None:
        self._files[name] = _HashedFile(self._folder / name)
        self._files[name].write(text.encode("utf-8"))

    def _header(self, identity: str, files: dict[str, FileEntry]) -> StoreHeader:
        recipe = self._recipe
        header = StoreHeader(
            identity=identity,
            source=self._source.name,
            source_digest=self._source.digest(),
            family=recipe.family,
            feature_version=recipe.feature_version,
            settings=recipe.settings.model_dump(mode="json"),
            n_crystals=self._rows[CRYSTAL],
            rows=self._rows,
            arrays=tuple(self._entries()),
            sizes=self._sizes,
            labels=self._labels,
            has_folds=self._source.has_folds,
            files=files,
        )
        return header.model_copy(update={"digest": header.content_digest()})

    def _entries(self) -> Iterator[ArrayEntry]:
        for spec in self._recipe.schema:
            yield ArrayEntry(
                name=spec.name,
                scope=spec.scope,
                dtype=stored_dtype(spec).str,
                shape=spec.shape,
                unit=spec.unit,
                description=spec.description,
                file=self._arrays[spec.name],
            )

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InfrastructureError(
                f"{self._folder.parent}: the store cannot be written"
                f" ({error.strerror or error}); free space there or name another folder"
                " with SITENET_STORES"
            ) from error
