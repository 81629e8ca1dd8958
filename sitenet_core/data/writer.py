"""Writing a packed store's files, one chunk after the other."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sitenet_core.data.conform import stored_dtype
from sitenet_core.data.hashed_file import DamagedBuildError, HashedFile
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
from sitenet_core.data.progress import (
    PROGRESS_FILE,
    Progress,
    ProgressLog,
    Texts,
    read_progress,
)
from sitenet_core.data.report import BuildReport
from sitenet_core.data.schema import CRYSTAL, FeatureRecipe, scopes
from sitenet_core.errors import InfrastructureError

if TYPE_CHECKING:
    from sitenet_core.data.packing import PackedChunk
    from sitenet_core.structures.sources.source import Source


TEXT_FILES = (IDS_FILE, FORMULAS_FILE, REDUCED_FORMULAS_FILE)
RECORD_SECONDS = 2.0
"""Least time between two records of progress: a kill costs little more than this."""


class StoreWriter:
    """Appends chunks to the files of a folder; the header, written last, ends it.

    A folder that another builder left with a record of its progress is taken over as it
    was at that record.

    Raises:
        DamagedBuildError: if the files there are not what the record says.
        InfrastructureError: if the disk refuses.
    """

    def __init__(self, folder: Path, recipe: FeatureRecipe, source: "Source") -> None:
        self._folder = folder
        self._recipe = recipe
        self._source = source
        self._arrays = {s.name: f"array-{s.name}.bin" for s in recipe.schema}
        self._sizes = {s: f"sizes-{s}.bin" for s in scopes(recipe.schema)}
        # A column's name is the user's and may be no file name.
        self._labels = {c: f"label-{i}.bin" for i, c in enumerate(source.columns)}
        self._files: dict[str, HashedFile] = {}
        with self._disk_errors():
            self._start(read_progress(folder))

    def _start(self, resumed: Progress | None) -> None:
        names = [*self._arrays.values(), *self._sizes.values(), *self._labels.values()]
        names += [FOLDS_FILE] if self._source.has_folds else []
        if resumed is None:
            self._rows = dict.fromkeys([CRYSTAL, *scopes(self._recipe.schema)], 0)
            self._texts = Texts({name: [] for name in TEXT_FILES})
        else:
            self._rows, self._texts = resumed.rows, resumed.texts
        for left in self._folder.iterdir():
            if resumed is None or left.name not in {*resumed.files, PROGRESS_FILE}:
                left.unlink()
        try:
            for name in names:
                kept = None if resumed is None else resumed.files[name]
                self._files[name] = HashedFile(self._folder / name, kept)
        except DamagedBuildError:
            for file in self._files.values():
                file.abandon()
            raise
        self._log = ProgressLog(self._folder, self._texts, resumed)
        self._recorded_at = time.monotonic()
        self.n_resumed = self.n_read

    @property
    def n_skipped(self) -> int:
        """Number of crystals skipped so far."""
        return len(self._texts.skipped)

    @property
    def n_read(self) -> int:
        """Number of crystals read so far, skipped ones included."""
        return self._rows[CRYSTAL] + self.n_skipped

    @property
    def report(self) -> BuildReport:
        """What was read, stored and skipped so far."""
        return BuildReport(
            n_read=self.n_read,
            n_stored=self._rows[CRYSTAL],
            skipped=tuple(self._texts.skipped),
        )

    def append(self, chunk: "PackedChunk") -> None:
        """Write the crystals of `chunk` behind those that are there.

        Raises:
            InfrastructureError: if the disk refuses.
        """
        self._texts.by_file[IDS_FILE] += chunk.ids
        self._texts.by_file[FORMULAS_FILE] += chunk.formulas
        self._texts.by_file[REDUCED_FORMULAS_FILE] += chunk.reduced_formulas
        self._texts.skipped += chunk.skipped
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
            if time.monotonic() - self._recorded_at >= RECORD_SECONDS:
                self._record()

    def _record(self) -> None:
        files = {name: file.sync() for name, file in self._files.items()}
        self._log.record(files, self._rows)
        self._recorded_at = time.monotonic()

    def finish(self, identity: str) -> None:
        """Write texts, report and header, all brought to disk.

        Raises:
            InfrastructureError: if the disk refuses.
        """
        with self._disk_errors():
            for name, texts in self._texts.by_file.items():
                self._add_text(name, json.dumps(texts, ensure_ascii=False))
            self._add_text(REPORT_FILE, self.report.model_dump_json(indent=1))
            entries = {name: file.close() for name, file in self._files.items()}
            header = self._header(identity, entries)
            last = HashedFile(self._folder / HEADER_FILE)
            last.write(header.model_dump_json(indent=1).encode("utf-8"))
            last.close()
            self._log.close()
            (self._folder / PROGRESS_FILE).unlink()

    def abandon(self) -> None:
        """Close every file of a store that is not finished.

        What its record of progress speaks of is on disk; a full disk may refuse the
        rest, which the next builder makes again.
        """
        for close in (self._log.close, *(f.abandon for f in self._files.values())):
            with suppress(OSError):
                close()

    def _add_text(self, name: str, text: str) -> None:
        self._files[name] = HashedFile(self._folder / name)
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
