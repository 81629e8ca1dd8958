"""The Parquet table: one row per structure, format `xtal-parquet v1`.

Columns `id` (string), `cell` (a, b, c in Å, alpha, beta, gamma in degrees), `numbers`
(atomic number per site), `frac_e8` (x, y, z per site, times 10^8); every other number
column is a label. `fold` is the test fold of the official split; a column
`TARGET_fold`, where there is one, is that of the target `TARGET` and goes before it.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Lattice

from sitenet_core.errors import DataError, StructureError
from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.sources.source import RawItem, Source

_GEOMETRY = ("id", "cell", "numbers", "frac_e8")
_OTHER = ("fold", "spacegroup", "n_sites")
"""Number columns that are no labels; neither is one whose name ends with `_fold`."""
_BATCH_ROWS = 1024


@dataclass(frozen=True)
class TableRow:
    """Geometry of one row."""

    key: str
    """Its id, for messages."""
    cell: Any
    """(6,) a, b, c in Å, alpha, beta, gamma in degrees."""
    numbers: Any
    """(n,) atomic numbers."""
    frac_e8: Any
    """(3n,) fractional coordinates times 10^8."""


class TableSource(Source):
    """A Parquet table in the order of its rows, read batch by batch.

    Raises:
        DataError: if it is not such a table, or an id is missing or repeated.
    """

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        try:
            self._schema = pq.read_schema(path)
            self._n_rows = pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path}: cannot be read as a Parquet table ({error}); make it again"
            ) from error
        missing = [name for name in _GEOMETRY if name not in self._schema.names]
        if missing:
            raise DataError(
                f"{path}: has no column {', '.join(missing)}; a table of structures "
                f"needs {', '.join(_GEOMETRY)}"
            )
        folds = [c for c in (f"{target}_fold", "fold") if c in self._schema.names]
        self._fold = folds[0] if folds else None

    @property
    def name(self) -> str:
        """The path of the table."""
        return str(self._path)

    @property
    def columns(self) -> tuple[str, ...]:
        """The number columns that are labels."""
        return tuple(
            field.name
            for field in self._schema
            if (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
            and field.name not in _OTHER
            and not field.name.endswith("_fold")
        )

    @property
    def has_folds(self) -> bool:
        """Whether there is a column of folds for the target."""
        return self._fold is not None

    def digest(self) -> str:
        """Return the SHA-256 of the file and of the choice of its fold column."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(f"{self._fold}\n".encode())
        with self._path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._n_rows)

    def items(self) -> Iterator[RawItem]:
        """Return the rows, undecoded."""
        with pq.ParquetFile(self._path) as file:
            self._check_ids(file)
            used = [*_GEOMETRY, *self.columns, *([self._fold] if self._fold else [])]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=used):
                yield from self._batch_items(batch)

    def _batch_items(self, batch: pa.RecordBatch) -> Iterator[RawItem]:
        column = {name: batch.column(name) for name in batch.schema.names}
        labels = {name: column[name].to_pylist() for name in self.columns}
        folds = column[self._fold].to_pylist() if self._fold else None
        for i, key in enumerate(column["id"].to_pylist()):
            arrays = [_array(column[name][i]) for name in _GEOMETRY[1:]]
            values = {n: _value(rows[i]) for n, rows in labels.items()}
            fold = None if folds is None or folds[i] is None else int(folds[i])
            row = TableRow(str(key), *arrays)
            yield RawItem(row.key, crystal_from_row, row, values, _known(fold))

    def _check_ids(self, file: pq.ParquetFile) -> None:
        ids = file.read(columns=["id"]).column("id").to_pylist()
        if None in ids:
            raise DataError(
                f"{self._path}: row {ids.index(None) + 1} has no id; give each its own"
            )
        if len(set(ids)) < len(ids):
            key, times = Counter(ids).most_common(1)[0]
            row = ids.index(key, ids.index(key) + 1) + 1
            raise DataError(
                f"{self._path}: row {row} repeats the id {key!r}, which occurs {times} "
                "times; an id may occur once: remove or rename the others"
            )


def crystal_from_row(row: TableRow) -> Crystal:
    """Return the crystal in `row`, unchecked.

    Raises:
        StructureError: if a value is missing, the counts do not fit together, an atomic
            number is none, or the six cell parameters do not span a cell.
    """
    key = row.key
    if row.cell is None or row.numbers is None or row.frac_e8 is None:
        raise StructureError(
            f"{key}: a cell, numbers or frac_e8 is missing; each row needs all three"
        )
    numbers = np.asarray(row.numbers)
    if len(numbers) == 0:
        raise StructureError(f"{key}: has no sites; at least one atom is needed")
    if len(row.frac_e8) != 3 * len(numbers):
        raise StructureError(
            f"{key}: has {len(numbers)} atomic numbers and {len(row.frac_e8)} "
            "coordinates; three coordinates per atom are needed"
        )
    if numbers.min() < 1 or numbers.max() > 118:
        bad = numbers[(numbers < 1) | (numbers > 118)][0]
        raise StructureError(
            f"{key}: holds atomic number {bad}; 1 (H) to 103 (Lr) are supported"
        )
    frac = np.asarray(row.frac_e8, dtype=np.float64).reshape(-1, 3) / 1e8
    lattice = _lattice(row.cell, key)
    return Crystal(lattice, frac, numbers.astype(np.int64), np.zeros(len(numbers)))


def _lattice(cell: Any, key: str) -> np.ndarray:
    cell = np.asarray(cell, dtype=np.float64)
    good = cell.shape == (6,) and np.isfinite(cell).all() and (cell > 0).all()
    if good:
        a, b, c = np.cos(np.radians(cell[3:]))
        good = bool((cell[3:] < 180).all()) and 1 + 2 * a * b * c > a**2 + b**2 + c**2
    if not good:
        raise StructureError(
            f"{key}: the cell {cell.tolist()} does not exist; three positive lengths "
            "in Å and three angles in degrees that fit together are needed"
        )
    return np.array(Lattice.from_parameters(*cell).matrix)


def _array(scalar: Any) -> np.ndarray | None:
    return np.array(scalar.values) if scalar.is_valid else None


def _value(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _known(fold: int | None) -> int | None:
    return None if fold is None or fold < 0 else fold
