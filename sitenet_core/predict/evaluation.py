"""Errors of predictions against known values, every crystal counted once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sitenet_core.bundle import Bundle
from sitenet_core.errors import DataError, TrialError
from sitenet_core.predict.predictor import Failure, Predictor
from sitenet_core.training.checks import check_store
from sitenet_core.training.machine import DeviceChoice
from sitenet_core.training.targets import target_values

if TYPE_CHECKING:
    from sitenet_core.data.store import PackedStore


_CHUNK = 4096
"""Crystals whose arrays are looked at together; they stay in the store's files."""


@dataclass(frozen=True)
class CrystalPrediction:
    """What is known and what is predicted for one crystal, in the target's unit."""

    id: str
    target: float
    prediction: float


@dataclass(frozen=True)
class Evaluation:
    """Errors over a set of crystals, in the target's unit."""

    mae: float
    rmse: float
    n: int
    unit: str
    predictions: tuple[CrystalPrediction, ...]
    """One per crystal, in the order of the ids asked for."""

    @classmethod
    def of(
        cls, ids: Sequence[str], targets: np.ndarray, values: np.ndarray, unit: str
    ) -> "Evaluation":
        """Return the errors of `values` against `targets`, both (n,), n ≥ 1.

        Raises:
            DataError: if there is no crystal.
        """
        if not len(ids):
            raise DataError(
                "there is no crystal to evaluate on; name at least one, or check the "
                "split's test fraction"
            )
        errors = np.asarray(values, np.float64) - np.asarray(targets, np.float64)
        rows = zip(ids, targets.tolist(), values.tolist(), strict=True)
        return cls(
            mae=float(np.abs(errors).mean()),
            rmse=float(np.sqrt((errors**2).mean())),
            n=len(ids),
            unit=unit,
            predictions=tuple(CrystalPrediction(*row) for row in rows),
        )


def evaluate(
    bundle: Bundle,
    store: "PackedStore",
    ids: Sequence[str],
    device: DeviceChoice = "auto",
) -> Evaluation:
    """Return the errors of a model on the crystals `ids` of a packed store.

    Raises:
        ConfigError: if the store was built with other settings than the model's.
        DataError: if an id is not in the store, has no target, or there is none.
        TrialError: if a prediction is no number or does not fit into memory.
    """
    check_store(bundle.family, bundle.config, store)
    rows = store.index_of(ids)
    targets = target_values(store, bundle.target, rows)
    predictor = Predictor(bundle, device)
    values = np.empty(len(rows))
    for start in range(0, len(rows), _CHUNK):
        records = [store.record(int(row)) for row in rows[start : start + _CHUNK]]
        for offset, outcome in enumerate(predictor.predict(records)):
            if isinstance(outcome, Failure):
                raise TrialError(f"crystal {ids[start + offset]!r}: {outcome.reason}")
            values[start + offset] = outcome
    return Evaluation.of(ids, targets, values, bundle.target.unit)
