"""The values that a model learns, from the columns of a packed store."""

from typing import TYPE_CHECKING

import numpy as np

from sitenet_core.config import TargetConfig
from sitenet_core.errors import DataError

if TYPE_CHECKING:
    from sitenet_core.data import PackedStore


def target_values(
    store: "PackedStore", target: TargetConfig, rows: np.ndarray
) -> np.ndarray:
    """Return the declared property of `rows`: (n,) float64, in `target.unit`.

    Raises:
        DataError: if a crystal has no finite value in the target's column.
    """
    values: np.ndarray = (
        target.sign * np.asarray(store.labels(target.column), np.float64)[rows]
    )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"column {target.column!r} has no finite value for {bad.size} of "
            f"{len(rows)} crystals, first {store.ids[int(rows[bad[0]])]!r}; leave such "
            "crystals out of the split or name another column"
        )
    return values
