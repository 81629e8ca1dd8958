"""Whether the own primitive-cell finder equals pymatgen's on every structure.

    .venv/bin/python experiments/benchmarks/core/primitive_cells.py ../shared/data

Compares `invariant_primitive_cell` with pymatgen's at one tolerance, for every Parquet
table of structures in the folder: number of sites, volume, and the sorted distances in
the canonical supercell. Counts and every difference go to `primitive_cells.json` beside
this script (`--result` names another file), chunk by chunk: run again, it goes on where
it was stopped. A difference comes with the least tolerance, in Å, at which each finder
reaches the smaller of the two cells: that of a pseudo-translation.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from sitenet_core.data.pool import ordered_map
from sitenet_core.structures.canonical import canonical_supercell
from sitenet_core.structures.cell import Crystal, primitive_cell
from sitenet_core.structures.distances import pair_distances
from sitenet_core.structures.primitive import invariant_primitive_cell
from sitenet_core.structures.record import SkippedStructure
from sitenet_core.structures.sources.source import RawItem, decode
from sitenet_core.structures.sources.table import TableSource

CHUNK = 500
MAX_ATOMS = 100
SAME_VOLUME = 1e-6
"""Relative."""
SAME_DISTANCE = 1e-3
"""Å."""
TOLERANCES = np.geomspace(1e-3, 1.0, 61)
"""Å; among these the least one that suffices is looked for."""

Row = dict[str, Any]


def main() -> None:
    """Compare every structure that has not been compared yet."""
    parser = argparse.ArgumentParser(description="Compare primitive-cell finders.")
    parser.add_argument("data", type=Path, help="folder of Parquet tables")
    parser.add_argument("--tolerance", type=float, default=0.1, help="Å; default: 0.1")
    parser.add_argument("--workers", type=int, default=1, help="default: 1")
    default = Path(__file__).with_suffix(".json")
    parser.add_argument("--result", type=Path, default=default)
    options = parser.parse_args()
    result = _begun(options.result, options.tolerance)
    for path in sorted(options.data.glob("*.parquet"), key=lambda p: p.stat().st_size):
        if "frac_e8" in pq.read_schema(path).names:
            _compare_table(path, result, options)


def _begun(path: Path, tolerance: float) -> dict[str, Any]:
    if path.exists():
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if result["tolerance"] == tolerance:
            return result
    return {"tolerance": tolerance, "max_atoms": MAX_ATOMS, "tables": {}}


def _compare_table(
    path: Path, result: dict[str, Any], options: argparse.Namespace
) -> None:
    source = TableSource(path, "target")
    empty = {"structures": len(source), "compared": 0, "skipped": 0, "differences": []}
    table = result["tables"].setdefault(path.name, empty)
    chunks = _chunks(islice(source.items(), table["compared"], None))
    work = partial(compare_chunk, tolerance=options.tolerance)
    for n, skipped, rows in ordered_map(work, chunks, options.workers):
        table["compared"] += n
        table["skipped"] += skipped
        table["differences"] += rows
        text = json.dumps(result, indent=1) + "\n"
        options.result.write_text(text, encoding="utf-8")
        kinds = [row["kind"] for row in table["differences"]]
        counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
        print(path.name, table["compared"], len(source), counts, flush=True)


def _chunks(items: Iterator[RawItem]) -> Iterator[list[RawItem]]:
    while chunk := list(islice(items, CHUNK)):
        yield chunk


def compare_chunk(
    items: Sequence[RawItem], tolerance: float
) -> tuple[int, int, list[Row]]:
    """Return the number read, the number unusable, and a row per difference."""
    skipped, rows = 0, []
    for item in items:
        record = decode(item)
        if isinstance(record, SkippedStructure):
            skipped += 1
            continue
        ours = invariant_primitive_cell(record.crystal, tolerance)
        theirs = primitive_cell(record.crystal, tolerance)
        difference = _difference(ours, theirs)
        if difference is not None:
            row = {"id": item.id, "sites": record.crystal.n_sites, **difference}
            rows.append(row | least_tolerances(record.crystal, row))
    return len(items), skipped, rows


def least_tolerances(crystal: Crystal, row: Row) -> Row:
    """Return from which tolerance on each finder reaches the smaller cell of `row`."""
    size = min(row["ours"], row["pymatgen"])
    finders = {"ours_from": invariant_primitive_cell, "pymatgen_from": primitive_cell}
    return {name: _least(finder, crystal, size) for name, finder in finders.items()}


def _least(
    finder: Callable[[Crystal, float], Crystal], crystal: Crystal, size: int
) -> float | None:
    if finder(crystal, TOLERANCES[-1]).n_sites > size:
        return None
    low, high = -1, len(TOLERANCES) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if finder(crystal, TOLERANCES[middle]).n_sites <= size:
            high = middle
        else:
            low = middle
    return round(float(TOLERANCES[high]), 4)


def _difference(ours: Crystal, theirs: Crystal) -> Row | None:
    sizes = {"ours": ours.n_sites, "pymatgen": theirs.n_sites}
    if ours.n_sites != theirs.n_sites:
        smaller = "ours" if ours.n_sites < theirs.n_sites else "pymatgen's"
        return {**sizes, "kind": f"{smaller} is smaller"}
    volumes = [abs(float(np.linalg.det(c.lattice))) for c in (ours, theirs)]
    if abs(volumes[0] / volumes[1] - 1) > SAME_VOLUME:
        return {**sizes, "kind": "volume", "ratio": volumes[0] / volumes[1]}
    largest = float(np.abs(_distances(ours) - _distances(theirs)).max())
    if largest > SAME_DISTANCE:
        return {**sizes, "kind": "distances", "largest": round(largest, 6)}
    return None


def _distances(crystal: Crystal) -> np.ndarray:
    """Return all distances of the canonical supercell, Å, in ascending order."""
    supercell = canonical_supercell(crystal, MAX_ATOMS)
    return np.sort(pair_distances(supercell.crystal, supercell.scaling), axis=None)


if __name__ == "__main__":
    main()
