"""pymatgen structures in one JSON file.

Read are: a list of Structure mappings; a list of records
`{"id": ..., "structure": {...}, LABEL: number, ..., "fold": 0}`; and a mapping from id
to either. Where there is no id, it is `NAME-00001` by position. The file is held in
memory as plain JSON; for more than some ten thousand structures use a Parquet table.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sitenet_core.errors import DataError
from sitenet_core.structures.read import structure_from_dict
from sitenet_core.structures.sources.source import RawItem, Source

_NO_LABEL = ("id", "structure", "fold")


class JsonSource(Source):
    """The structures of a JSON file, in its order.

    Raises:
        DataError: if it is not such a file, or an id, target or fold in it is wrong.
    """

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._content = path.read_bytes()
        entries = _entries(self._content, path)
        self._columns = tuple(
            name
            for name in dict.fromkeys(key for _, entry in entries for key in entry)
            if name not in _NO_LABEL and _is_label(name, target, entries)
        )
        self._items = [self._item(key, entry, target) for key, entry in entries]
        ids = [item.id for item in self._items]
        if len(set(ids)) < len(ids):
            twice = next(key for key in ids if ids.count(key) > 1)
            raise DataError(
                f"{path}: repeats the id {twice!r}; an id may occur once: remove or "
                "rename the others"
            )

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of the records whose values are numbers."""
        return self._columns

    @property
    def has_folds(self) -> bool:
        """Whether a record names its fold."""
        return any(item.fold is not None for item in self._items)

    def digest(self) -> str:
        """Return the SHA-256 of the file and of the names that ids are made from."""
        head = f"{self._path.stem}\n{self._columns}\n".encode()
        return hashlib.sha256(head + self._content).hexdigest()

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._items)

    def items(self) -> Iterator[RawItem]:
        """Return the records, undecoded."""
        return iter(self._items)

    def _item(self, key: str, entry: dict[str, Any], target: str) -> RawItem:
        labels = {}
        for name in self._columns:
            value = entry.get(name)
            if not _is_number(value):
                raise DataError(
                    f"{self._path}: the target {target!r} of {key!r} is {value!r}; a "
                    "finite number is needed, or null where it is not known"
                )
            labels[name] = math.nan if value is None else float(value)
        fold = entry.get("fold")
        if fold is not None and (type(fold) is not int or fold < 0):
            raise DataError(
                f"{self._path}: the fold of {key!r} is {fold!r}; a whole number from 0 "
                "is needed, or null where the crystal is in no fold"
            )
        make = partial(structure_from_dict, name=key)
        return RawItem(key, make, entry["structure"], labels, fold)


def is_single_structure(path: Path) -> bool:
    """Return whether a JSON file holds one Structure and no list of them.

    Raises:
        DataError: if it is not JSON.
    """
    data = _load(path.read_bytes(), path)
    return isinstance(data, dict) and {"lattice", "sites"} <= data.keys()


def _load(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be parsed as JSON ({error}); a list of pymatgen "
            "structures, or of records with 'structure' and labels, is needed"
        ) from error


def _entries(content: bytes, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return (id, record) pairs; a bare structure becomes a record without labels."""
    data = _load(content, path)
    if isinstance(data, dict):
        pairs = [(str(key), value) for key, value in data.items()]
    elif isinstance(data, list):
        pairs = [
            (str(_own_id(value) or f"{path.stem}-{i:05d}"), value)
            for i, value in enumerate(data, start=1)
        ]
    else:
        pairs = []
    if not pairs:
        raise DataError(
            f"{path}: holds no structures; a list of pymatgen structures, or of "
            "records with 'structure' and labels, is needed"
        )
    return [(key, _record(value)) for key, value in pairs]


def _own_id(value: Any) -> str | int | None:
    key = value.get("id") if isinstance(value, dict) else None
    return key if isinstance(key, str | int) else None


def _record(value: Any) -> dict[str, Any]:
    # What is not even a mapping becomes a row that says so, when it is decoded.
    is_record = isinstance(value, dict) and "structure" in value
    return value if is_record else {"structure": value}


def _is_label(
    name: str, target: str, entries: list[tuple[str, dict[str, Any]]]
) -> bool:
    """Return whether a key is a label; the target is one whatever it holds."""
    return name == target or all(_is_number(entry.get(name)) for _, entry in entries)


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number or absent."""
    if isinstance(value, bool):
        return False
    return value is None or (isinstance(value, int | float) and math.isfinite(value))
