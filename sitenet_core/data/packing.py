"""From raw crystals to arrays that are ready to be appended to a store."""

import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sitenet_core.data.conform import conform, stored_dtype
from sitenet_core.data.report import SkippedRow
from sitenet_core.data.schema import ArraySpec, FeatureRecipe, scopes
from sitenet_core.errors import DataError, StructureError

if TYPE_CHECKING:
    from sitenet_core.structures.sources.source import RawItem, Source

CHUNK = 32
"""Crystals per task: enough that sending them costs little, few enough to balance."""


@dataclass(frozen=True)
class PackedCrystal:
    """One crystal's arrays and what its source says about it."""

    id: str
    formula: str
    reduced_formula: str
    labels: tuple[float, ...]
    fold: int
    """-1 without one."""
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class PackedChunk:
    """Consecutive crystals of a source, their rows concatenated."""

    ids: list[str]
    formulas: list[str]
    reduced_formulas: list[str]
    labels: np.ndarray
    """(n, n_columns) float64."""
    folds: np.ndarray
    """(n,) int32, -1 without one."""
    sizes: dict[str, np.ndarray]
    """(n,) int64 rows of each crystal, by ragged scope."""
    arrays: dict[str, np.ndarray]
    skipped: list[SkippedRow]
    tracebacks: list[str]
    """One per exception that no one raised on purpose."""

    @property
    def n_read(self) -> int:
        """Number of crystals read, skipped ones included."""
        return len(self.ids) + len(self.skipped)


def chunks(source: "Source", start: int = 0) -> Iterator[list["RawItem"]]:
    """Yield the items of `source` from number `start` on, `CHUNK` at a time.

    Raises:
        DataError: if two items have the same id.
    """
    seen: set[str] = set()
    chunk: list[RawItem] = []
    for number, item in enumerate(source.items()):
        if item.id in seen:
            raise DataError(
                f"source {source.name}: id {item.id!r} occurs twice; give every crystal"
                " an id of its own"
            )
        seen.add(item.id)
        if number < start:
            continue
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def pack_chunk(
    items: Sequence["RawItem"], recipe: FeatureRecipe, columns: Sequence[str]
) -> PackedChunk:
    """Return the crystals of `items` as `recipe` makes them; pure and picklable.

    A crystal that cannot be used is a row in `skipped`. That includes one that makes
    the program fail in an unforeseen way: bad input must not end the build of the
    others, and the traceback is handed on.
    """
    packed: list[PackedCrystal] = []
    skipped: list[SkippedRow] = []
    tracebacks: list[str] = []
    for item in items:
        try:
            packed.append(_pack(item, recipe, columns))
        except StructureError as error:
            skipped.append(SkippedRow(id=item.id, reason=str(error)))
        except Exception as error:  # noqa: BLE001 - a row, and a traceback in the log
            reason = f"unexpected {type(error).__name__}: {error}"
            skipped.append(SkippedRow(id=item.id, reason=reason))
            tracebacks.append(f"{item.id}: {traceback.format_exc()}")
    return _join(packed, skipped, tracebacks, (recipe.schema, columns))


def _pack(
    item: "RawItem", recipe: FeatureRecipe, columns: Sequence[str]
) -> PackedCrystal:
    # Deferred: whoever only reads a store does without pymatgen.
    from sitenet_core.structures.formulas import formulas_of
    from sitenet_core.structures.record import SkippedStructure
    from sitenet_core.structures.sources.source import decode

    record = decode(item)
    if isinstance(record, SkippedStructure):
        raise StructureError(record.reason)
    arrays = recipe.featurise(record.given, recipe.settings)
    formulas = formulas_of(record.crystal.numbers.tolist())
    return PackedCrystal(
        id=record.id,
        formula=formulas.full,
        reduced_formula=formulas.reduced,
        labels=tuple(float(record.labels[column]) for column in columns),
        fold=-1 if record.fold is None else record.fold,
        arrays=conform(recipe.schema, arrays),
    )


def _join(
    packed: list[PackedCrystal],
    skipped: list[SkippedRow],
    tracebacks: list[str],
    layout: tuple[Sequence[ArraySpec], Sequence[str]],
) -> PackedChunk:
    schema, columns = layout
    first_of = {s: next(a.name for a in schema if a.scope == s) for s in scopes(schema)}
    return PackedChunk(
        ids=[p.id for p in packed],
        formulas=[p.formula for p in packed],
        reduced_formulas=[p.reduced_formula for p in packed],
        labels=np.array([p.labels for p in packed]).reshape(len(packed), len(columns)),
        folds=np.array([p.fold for p in packed], dtype="<i4"),
        sizes={
            scope: np.array([len(p.arrays[name]) for p in packed], dtype="<i8")
            for scope, name in first_of.items()
        },
        arrays={
            spec.name: _concatenated(spec, (p.arrays[spec.name] for p in packed))
            for spec in schema
        },
        skipped=skipped,
        tracebacks=tracebacks,
    )


def _concatenated(spec: ArraySpec, arrays: Iterable[np.ndarray]) -> np.ndarray:
    empty = np.empty((0, *spec.shape), dtype=stored_dtype(spec))
    return np.concatenate([empty, *arrays])
