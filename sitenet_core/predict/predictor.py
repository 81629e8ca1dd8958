"""From the arrays of crystals to numbers, batch by batch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sitenet_core.bundle import Bundle
from sitenet_core.bundle.header import OXIDATION_STATES
from sitenet_core.data.batches import plan_groups
from sitenet_core.data.conform import conform
from sitenet_core.data.schema import FeatureArrays
from sitenet_core.families import batch_of
from sitenet_core.families.protocol import Budgeted
from sitenet_core.training.machine import DeviceChoice, choose_device
from sitenet_core.training.memory import is_out_of_memory
from sitenet_core.training.residence import group_size, torch_device

if TYPE_CHECKING:
    from pymatgen.core import Element, Species, Structure


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why there is no number for a crystal."""

    reason: str


class Predictor:
    """The model of a bundle on a device.

    The network is the one that was trained and its forward pass the same, in the
    arithmetic of its weights (mixed precision is for training only). A crystal's
    prediction does not depend on which others are in its batch. Oxidation states are
    left out where training had none: the weights that would read them never moved.
    """

    def __init__(self, bundle: Bundle, device: DeviceChoice = "auto") -> None:
        """Put the network of `bundle` on `device`; `auto` is a GPU if there is one."""
        self.bundle = bundle
        chosen = choose_device(device)
        self._device = torch_device(chosen)
        self._network = bundle.network.to(self._device)
        self._micro = group_size(bundle.family, bundle.config, chosen, None)
        if isinstance(self._network, Budgeted):
            # However large a crystal is, it is predicted in the memory of the device.
            self._network.pair_budget = self._micro.budget
        self._settings = bundle.family.settings(bundle.config)
        self._undecorated = bundle.header.data.oxidation_states is False
        self._told = False

    def features(self, structure: "Structure") -> FeatureArrays:
        """Return the arrays of a checked structure, as a packed store holds them.

        Raises:
            StructureError: if the family cannot take the structure.
        """
        family = self.bundle.family
        if self._undecorated and any(map(_is_decorated, structure.species)):
            self._tell()
            # Before the cell is found: sites may differ by oxidation state alone.
            structure = structure.copy().remove_oxidation_states()
        return conform(family.schema, family.featurise(structure, self._settings))

    def predict(self, records: Sequence[FeatureArrays]) -> list[float | Failure]:
        """Return the prediction for each crystal, in the target's unit.

        Crystals go through the network in groups that fit into memory, by the pairs of
        each, say; a group that does not is tried again crystal by crystal.
        """
        if self._undecorated:
            records = [self._without_states(record) for record in records]
        outcomes: dict[int, float | Failure] = {}
        for group in self._plan(records):
            chosen = group.tolist()
            found = self._outcomes([records[i] for i in chosen])
            outcomes |= zip(chosen, found, strict=True)
        return [outcomes[i] for i in range(len(records))]

    def _without_states(self, record: FeatureArrays) -> FeatureArrays:
        states = record.get(OXIDATION_STATES)
        if states is None or not states.any():
            return record
        self._tell()
        return {**record, OXIDATION_STATES: np.zeros_like(states)}

    def _tell(self) -> None:
        if not self._told:
            logger.warning(
                "oxidation states are left out: no crystal that the model was trained "
                "on had any"
            )
        self._told = True

    def _plan(self, records: Sequence[FeatureArrays]) -> list[np.ndarray]:
        unit, budget = self._micro.unit, self._micro.budget
        sizes = np.array([r[unit].item() for r in records], dtype=np.int64)
        return plan_groups(sizes, budget, np.arange(len(records)))

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
        batch = batch_of(self.bundle.family, records, device=self._device)
        with torch.inference_mode():
            values: list[float] = self._network(batch)[:, 0].double().cpu().tolist()
        return values


def _is_decorated(kind: "Element | Species") -> bool:
    return bool(getattr(kind, "oxi_state", None))


def _finite(value: float) -> float | Failure:
    if np.isfinite(value):
        return value
    return Failure(
        f"the model predicts {value}, which is no number: the crystal is unlike all "
        "that it was trained on, or its weights are damaged"
    )
