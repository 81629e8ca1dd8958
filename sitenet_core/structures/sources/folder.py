"""A folder or zip of structure files with a CSV."""

import hashlib
import logging
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from sitenet_core.errors import DataError
from sitenet_core.structures.read import SUFFIXES, is_structure_file, parse_bytes
from sitenet_core.structures.sources.labels import LabelRow, LabelTable, read_labels
from sitenet_core.structures.sources.source import RawItem, Source

logger = logging.getLogger(__name__)


class FileSet(Protocol):
    """Files by name, in a folder or in a zip."""

    def names(self) -> list[str]:
        """Return the relative names of all files, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of one file."""
        ...


class Folder:
    """The files below a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """Return the relative names of all files, sorted."""
        files = (path for path in self._path.rglob("*") if path.is_file())
        return sorted(path.relative_to(self._path).as_posix() for path in files)

    def read(self, name: str) -> bytes:
        """Return the content of one file."""
        return (self._path / name).read_bytes()


class ZipFolder:
    """The files in a zip archive.

    Raises:
        DataError: if the file is not a zip archive.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(
                f"{path}: cannot be read as a zip archive ({error}); pack it again"
            ) from error

    def names(self) -> list[str]:
        """Return the names of all files in the archive, sorted."""
        return sorted(n for n in self._archive.namelist() if not n.endswith("/"))

    def read(self, name: str) -> bytes:
        """Return the content of one file."""
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise DataError(
                f"{self._archive.filename}: {name} cannot be unpacked ({error}); pack "
                "the archive again, without a password"
            ) from error


class FolderSource(Source):
    """Structure files that a CSV names, in the order of the CSV.

    Raises:
        DataError: if there is no CSV or several, or one names a missing file.
    """

    def __init__(self, path: Path, target: str, labels: Path | None = None) -> None:
        self._path = path
        self._files: FileSet = Folder(path) if path.is_dir() else ZipFolder(path)
        names = self._files.names()
        self._table = self._read_table(names, target, labels)
        self._members = _members(self._table, names, str(path))

    @property
    def name(self) -> str:
        """The path of the folder or zip."""
        return str(self._path)

    @property
    def columns(self) -> tuple[str, ...]:
        """The number columns of the CSV."""
        return self._table.columns

    @property
    def has_folds(self) -> bool:
        """Whether the CSV has a `fold` column with values."""
        return self._table.has_folds

    def digest(self) -> str:
        """Return the SHA-256 of all rows and of the files they name."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(repr(self.columns).encode())
        for row, member in zip(self._table.rows, self._members, strict=True):
            digest.update(repr((row.id, row.labels, row.fold)).encode())
            digest.update(hashlib.sha256(self._files.read(member)).digest())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of rows in the CSV."""
        return len(self._table.rows)

    def items(self) -> Iterator[RawItem]:
        """Return the content of every file that the CSV names, one at a time."""
        for row, member in zip(self._table.rows, self._members, strict=True):
            make = partial(parse_bytes, name=member)
            content = self._files.read(member)
            yield RawItem(row.id, make, content, row.labels, row.fold)

    def _read_table(
        self, names: list[str], target: str, labels: Path | None
    ) -> LabelTable:
        if labels is not None:
            return read_labels(labels.read_bytes(), str(labels), target)
        found = [name for name in names if name.lower().endswith(".csv")]
        known = [n for n in found if PurePosixPath(n).name == "id_prop.csv"] or found
        if len(known) == 1:
            origin = f"{self._path}/{known[0]}"
            return read_labels(self._files.read(known[0]), origin, target)
        # `.` has no name to go by.
        whole = self._path if self._path.name else self._path.absolute()
        sibling = whole.with_name(f"{whole.stem}.csv") if whole.name else whole
        if not known and sibling.is_file():
            return read_labels(sibling.read_bytes(), str(sibling), target)
        have = f"several CSV files ({', '.join(known[:5])})" if known else "no CSV file"
        raise DataError(
            f"{self._path}: has {have}; one with the columns id or file and the "
            f"targets is needed: put it inside, beside it as {sibling.name}, or "
            "name it under data.labels"
        )


def _members(table: LabelTable, names: list[str], place: str) -> list[str]:
    """Return the file of every row.

    Raises:
        DataError: naming the line whose file is missing or not the only one.
    """
    index: defaultdict[str, set[str]] = defaultdict(set)
    for name in filter(is_structure_file, names):
        base = PurePosixPath(name)
        for key in {name, base.name, base.stem, str(base.with_suffix(""))}:
            index[key].add(name)
    members = [_member(row, index, table.origin, place) for row in table.rows]
    unused = sum(map(is_structure_file, names)) - len(set(members))
    if unused:
        logger.warning(
            "%s: %d structure files have no row in %s and are not used",
            place,
            unused,
            table.origin,
        )
    return members


def _member(row: LabelRow, index: dict[str, set[str]], origin: str, place: str) -> str:
    found = sorted(index.get(row.file.removeprefix("./"), ()))
    if len(found) == 1:
        return found[0]
    if row.file in found:
        return row.file
    if found:
        raise DataError(
            f"{origin}:{row.line}: {row.file!r} stands for several files in {place}: "
            f"{', '.join(found[:5])}; give the name with its folder and ending"
        )
    raise DataError(
        f"{origin}:{row.line}: names {row.file!r}, which is not in {place}; add the "
        f"file (as it is or with one of {', '.join(SUFFIXES)}) or remove the row"
    )
