"""From the arrays of crystals to numbers, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sitenet_core.bundle import Bundle
from sitenet_core.data.batches import plan_batches
from sitenet_core.data.conform import conform
from sitenet_core.data.schema import FeatureArrays
from sitenet_core.training.machine import DeviceChoice, choose_device
from sitenet_core.training.memory import is_out_of_memory

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True)
class Failure:
    """Why there is no number for a crystal."""

    reason: str


class Predictor:
    """The model of a bundle on a device.

    The network is the one that was trained and its forward pass the same, in the
    arithmetic of its weights (mixed precision is for training only). A crystal's
    prediction does not depend on which others are in its batch.
    """

    def __init__(self, bundle: Bundle, device: DeviceChoice = "auto") -> None:
        """Put the network of `bundle` on `device`; `auto` is a GPU if there is one."""
        self.bundle = bundle
        self._device = "cuda" if choose_device(device) == "gpu" else "cpu"
        self._network = bundle.network.to(self._device)
        self._settings = bundle.family.settings(bundle.config)

    def features(self, structure: "Structure") -> FeatureArrays:
        """Return the arrays of a checked structure, as a packed store holds them.

        Raises:
            StructureError: if the family cannot take the structure.
        """
        family = self.bundle.family
        return conform(family.schema, family.featurise(structure, self._settings))

    def predict(self, records: Sequence[FeatureArrays]) -> list[float | Failure]:
        """Return the prediction for each crystal, in the target's unit.

        A batch that does not fit into memory is tried again crystal by crystal.
        """
        outcomes: list[float | Failure] = []
        for chosen in self._plan(records):
            outcomes += self._outcomes([records[int(i)] for i in chosen])
        return outcomes

    def _plan(self, records: Sequence[FeatureArrays]) -> list[np.ndarray]:
        unit, budget = self.bundle.family.batch_budget(self.bundle.config)
        if unit == "crystals":
            sizes = np.ones(len(records), dtype=np.int64)
        else:
            sizes = np.array([r[unit][0] for r in records], dtype=np.int64)
        return plan_batches(sizes, budget, order=np.arange(len(records)))

    def _outcomes(self, records: list[FeatureArrays]) -> list[float | Failure]:
        try:
            values = self._forward(records)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(records) == 1:
                return [
                    Failure(
                        "the crystal does not fit into memory; predict it on a machine "
                        "with more, or with a model of smaller supercells"
                    )
                ]
        else:
            return [_finite(value) for value in values]
        return [outcome for record in records for outcome in self._outcomes([record])]

    def _forward(self, records: list[FeatureArrays]) -> list[float]:
        batch = self.bundle.family.collate(records, None).to(self._device)
        with torch.inference_mode():
            values: list[float] = self._network(batch)[:, 0].double().cpu().tolist()
        return values


def _finite(value: float) -> float | Failure:
    if np.isfinite(value):
        return value
    return Failure(
        f"the model predicts {value}, which is no number: the crystal is unlike all "
        "that it was trained on, or its weights are damaged"
    )
