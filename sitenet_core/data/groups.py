"""Which crystals must stay on one side of a split."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from sitenet_core.data.pool import ordered_map
from sitenet_core.data.store import PackedStore

_CHUNK = 64


def group_keys(
    store: PackedStore,
    rows: np.ndarray,
    kind: Literal["composition", "prototype"],
    *,
    workers: int = 1,
) -> list[str]:
    """Return the group of each crystal of `rows`; a group holds near-copies.

    `composition`: the reduced formula. `prototype`: the key of the crystal's prototype,
    found from the primitive cell in the store, equal under isovalent substitution.

    Raises:
        DataError: `prototype` of a store that does not keep the geometry.
    """
    if kind == "composition":
        return [store.reduced_formulas[row] for row in rows.tolist()]
    if len(rows):
        store.geometry(int(rows[0]))
    parts = np.split(rows, range(_CHUNK, len(rows), _CHUNK))
    work = partial(_prototypes, store)
    return [key for keys in ordered_map(work, parts, workers) for key in keys]


def _prototypes(store: PackedStore, rows: Sequence[int]) -> list[str]:
    return [_prototype(store, int(row)) for row in rows]


def _prototype(store: PackedStore, row: int) -> str:
    # Deferred: only this kind of split needs pymatgen and spglib.
    from sitenet_core.structures.grouping import prototype_key
    from sitenet_core.structures.rebuild import rebuild_structure

    cell = store.geometry(row)
    structure = rebuild_structure(
        cell["lattice"], cell["frac_coords"], cell["atomic_numbers"]
    )
    return prototype_key(structure)
