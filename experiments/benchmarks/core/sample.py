"""The structures that are measured: a random pool, and made-up large cells."""

from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.benchmarks.core.setup import Setup

POOL = "pool"
TARGET = "gap_pbe"
_SPACING = 2.4
"""Å between the points of the grid that made-up cells begin as."""
_JITTER = 0.15
"""Largest move of an atom along an axis, as a share of the spacing."""
_ELEMENTS = (3, 8, 14, 22, 26, 38)


def table_of(setup: Setup, source: str) -> Path:
    """Return the Parquet table of a source: the pool or a made-up cell."""
    return setup.work / f"{source}.parquet"


def cell_name(n_atoms: int) -> str:
    """Return the source whose only structure is a cell of `n_atoms`."""
    return f"cell{n_atoms}"


def write_samples(setup: Setup) -> None:
    """Write the tables that are not there yet."""
    setup.work.mkdir(parents=True, exist_ok=True)
    if not table_of(setup, POOL).exists():
        _write_pool(setup)
    for n_atoms in setup.cells:
        path = table_of(setup, cell_name(n_atoms))
        if not path.exists():
            _write_cell(path, n_atoms, setup.seed)


def _write_pool(setup: Setup) -> None:
    """Draw rows at random; their ids tell the order in which they were drawn."""
    table = pq.read_table(setup.data)
    order = np.random.default_rng(setup.seed).permutation(len(table))
    rows = table.take(pa.array(order[: setup.pool]))
    names = [f"{k:05d}-{key}" for k, key in enumerate(rows["id"].to_pylist())]
    column = rows.schema.get_field_index("id")
    rows = rows.set_column(column, "id", pa.array(names))
    pq.write_table(rows.select([*_COLUMNS, TARGET]), table_of(setup, POOL))


_COLUMNS = ("id", "composition", "n_sites", "cell", "numbers", "frac_e8")


def _write_cell(path: Path, n_atoms: int, seed: int) -> None:
    """Write a triclinic cell of atoms scattered about a grid, no two of them alike."""
    rng = np.random.default_rng([seed, n_atoms])
    side = int(np.ceil(n_atoms ** (1 / 3)))
    grid = np.array(list(islice(np.ndindex(side, side, side), n_atoms)))
    frac = (grid + rng.uniform(-_JITTER, _JITTER, grid.shape)) / side
    lengths = side * _SPACING * np.array([1.0, 1.07, 1.13])
    columns = {
        "id": [path.stem],
        "composition": ["X"],
        "n_sites": pa.array([n_atoms], pa.int16()),
        "cell": [[*lengths, 82.0, 97.0, 104.0]],
        "numbers": pa.array([rng.choice(_ELEMENTS, n_atoms)], pa.list_(pa.uint8())),
        "frac_e8": pa.array(
            [np.rint(frac * 1e8).astype(np.int32).reshape(-1)], pa.list_(pa.int32())
        ),
        TARGET: [1.0],
    }
    pq.write_table(pa.table(columns), path)
