"""The CSV that says which file belongs to which crystal and what its values are.

Two layouts are read:

* with a header that names `id` or `file` (or both), any number of value columns, and
  perhaps `fold`;
* CGCNN's `id_prop.csv`: no header, the id or file name first, the value second. The
  value column carries the name of the study's target column.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from sitenet_core.errors import DataError
from sitenet_core.structures.read import is_structure_file

_KEYS = ("id", "file", "fold")


@dataclass(frozen=True)
class LabelRow:
    """One line of the table."""

    line: int
    """Counted from 1, for messages."""
    id: str
    file: str
    """File name as written, or the id where there is no `file` column."""
    labels: dict[str, float]
    fold: int | None


@dataclass(frozen=True)
class LabelTable:
    """The whole table; every column of `columns` has a value in every row."""

    origin: str
    columns: tuple[str, ...]
    has_folds: bool
    rows: tuple[LabelRow, ...]


def read_labels(content: bytes, origin: str, target: str) -> LabelTable:
    """Return the table in the CSV `content`; `origin` is its name in messages.

    An empty value is NaN (no value). A column other than `target` that holds something
    else than numbers is no label and is left out. `target` need not be a column: to
    build a store, no target has to be known.

    Raises:
        DataError: naming file and line, if the table is empty or not UTF-8, lacks its
            key column, repeats an id, or holds a target that is no number.
    """
    lines = _lines(content, origin)
    header = [cell.strip() for cell in lines[0][1]]
    lowered = [cell.lower() for cell in header]
    if "id" in lowered or "file" in lowered:
        names = [c.lower() if c.lower() in _KEYS else c for c in header]
        lines = lines[1:]
    elif len(header) == 2 and _number(header[1]) is not None:
        names = ["file", target]
    else:
        raise DataError(
            f"{origin}:1: the first line is {','.join(header)[:80]!r}; a header with "
            "'id' or 'file' and the value columns is needed, or CGCNN's two columns "
            "without a header (id, value)"
        )
    _check_names(names, origin)
    if not lines:
        raise DataError(f"{origin}: has a header and no rows; add a row per structure")
    return _table(lines, names, origin, target)


def _lines(content: bytes, origin: str) -> list[tuple[int, list[str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{origin}: is not UTF-8 text; save the table as UTF-8 CSV"
        ) from error
    reader = csv.reader(io.StringIO(text))
    try:
        lines = [
            (reader.line_num, row) for row in reader if any(c.strip() for c in row)
        ]
    except csv.Error as error:
        raise DataError(f"{origin}:{reader.line_num}: is not CSV: {error}") from error
    if not lines:
        raise DataError(f"{origin}: is empty; a row per structure is needed")
    return lines


def _check_names(names: Sequence[str], origin: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{origin}:1: repeats the column {twice[0]!r}; rename one")


def _table(
    lines: Sequence[tuple[int, list[str]]],
    names: Sequence[str],
    origin: str,
    target: str,
) -> LabelTable:
    for line, row in lines:
        if len(row) != len(names):
            raise DataError(
                f"{origin}:{line}: has {len(row)} values; {len(names)} are needed "
                f"({', '.join(names)})"
            )
    cells = {n: [r[i].strip() for _, r in lines] for i, n in enumerate(names)}
    numbers = [line for line, _ in lines]
    columns = {
        name: values
        for name in names
        if name not in _KEYS
        and (values := _values(cells[name], numbers, f"{origin}", name, target))
    }
    folds = _folds(cells.get("fold"), numbers, origin)
    files = cells.get("file", cells.get("id", []))
    ids = cells.get("id") or [_stem(file) for file in files]
    _check_ids(ids, numbers, origin)
    rows = tuple(
        LabelRow(
            line, ids[i], files[i], {n: v[i] for n, v in columns.items()}, folds[i]
        )
        for i, line in enumerate(numbers)
    )
    has_folds = any(fold is not None for fold in folds)
    return LabelTable(origin, tuple(columns), has_folds, rows)


def _values(
    cells: Sequence[str], lines: Sequence[int], origin: str, name: str, target: str
) -> list[float]:
    """Return the column as numbers; none at all if it is not a column of numbers."""
    values = []
    for line, cell in zip(lines, cells, strict=True):
        number = math.nan if not cell else _number(cell)
        if number is None:
            if name != target:
                return []
            raise DataError(
                f"{origin}:{line}: the target {name!r} is {cell!r}; a finite number is "
                "needed, or nothing where the value is not known"
            )
        values.append(number)
    return values


def _folds(
    cells: Sequence[str] | None, lines: Sequence[int], origin: str
) -> list[int | None]:
    if cells is None:
        return [None] * len(lines)
    for line, cell in zip(lines, cells, strict=True):
        if cell and not cell.isdecimal():
            raise DataError(
                f"{origin}:{line}: the fold is {cell!r}; a whole number from 0 is "
                "needed, or nothing where the crystal is in no fold"
            )
    return [int(cell) if cell else None for cell in cells]


def _check_ids(ids: Sequence[str], lines: Sequence[int], origin: str) -> None:
    seen: dict[str, int] = {}
    for line, key in zip(lines, ids, strict=True):
        if not key:
            raise DataError(f"{origin}:{line}: the id is empty; give each row its own")
        if key in seen:
            raise DataError(
                f"{origin}:{line}: repeats the id {key!r} of line {seen[key]}; an id "
                "may occur once: remove or rename one of the rows"
            )
        seen[key] = line


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _stem(file: str) -> str:
    """Return the id that a file name stands for: its name without its ending."""
    path = PurePath(file)
    return path.stem if path.suffix and is_structure_file(file) else path.name
