"""Predicts what trainings take on this machine, and divides them so that they fit."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from sitenet_core.config import TrialConfig
from sitenet_core.config.machine import available_memory
from sitenet_core.data import PackedStore, Split
from sitenet_core.errors import DataError
from sitenet_core.families import ModelFamily, get_family
from sitenet_core.training.calibrating import (
    Calibrating,
    calibration_path,
    this_machine,
)
from sitenet_core.training.calibration import Calibration
from sitenet_core.training.crystals import Crystals
from sitenet_core.training.forecast import store_sizes
from sitenet_core.training.machine import Device
from sitenet_core.training.sizing import (
    MemoryModel,
    MemoryPlan,
    plan_memory,
    some_crystals,
)

_log = logging.getLogger(__name__)

_USED = 0.85
"""Of the memory that is there: predictions err by up to a fifth, and driver, Ray and
MLflow grow."""
_CRYSTALS = 8192
"""Enough for the largest batches and groups to be much as those of all crystals."""


@dataclass(frozen=True)
class Room:
    """What one training may use."""

    device: Device
    threads: int
    memory_bytes: int | None
    """None if that is not known."""


def room_here(device: Device, threads: int, share: float) -> Room | None:
    """Return what a training on this machine may use; None without the device.

    Args:
        device: what it trains on.
        threads: of torch.
        share: of the GPU's memory, or of what the machine has left.
    """
    if device == "cpu":
        left = available_memory()
        return Room(
            device, threads, None if left is None else int(_USED * share * left)
        )
    if not torch.cuda.is_available():
        return None
    total = torch.cuda.get_device_properties(0).total_memory
    return Room(device, threads, int(_USED * share * total))


@dataclass(frozen=True)
class TrialMemory:
    """Plans the memory of trainings on the crystals of one split."""

    split: Split
    room: Room
    crystals: dict[Path, Crystals] = field(default_factory=dict)
    """By the folder of their packed store; read when they are first asked for."""
    first_bytes: int | None = None
    """Memory that the same trials were divided for at first. Numbers are rounded
    otherwise in other groups: on a CPU that division is kept where it fits."""
    _models: dict[Path, MemoryModel] = field(default_factory=dict)
    _plans: dict[tuple[str, Path, int | None], MemoryPlan] = field(default_factory=dict)
    """A trial asks again before each of its segments."""

    def plan(
        self, config: TrialConfig, store: Path, most: int | None = None
    ) -> MemoryPlan:
        """Return how a training of `config` on `store` is divided.

        Args:
            config: what is trained.
            store: folder of its packed store.
            most: largest micro-batch that it may have.
        """
        asked = (config.model_dump_json(), store, most)
        if asked not in self._plans:
            self._plans[asked] = self._plan(config, store, most)
        return self._plans[asked]

    def _plan(self, config: TrialConfig, store: Path, most: int | None) -> MemoryPlan:
        self._open(get_family(config.family), store)
        crystals, model = self.crystals[store], self._models[store]
        has = self.room.memory_bytes
        if self.room.device == "cpu" and self.first_bytes is not None:
            first = plan_memory(config, crystals, model, self.first_bytes, most)
            first = replace(first, memory_bytes=has)
            if first.fits:
                return first
        return plan_memory(config, crystals, model, has, most)

    def _open(self, family: ModelFamily, folder: Path) -> None:
        if folder not in self.crystals:
            self.crystals[folder] = _read(family, folder, self.split)
        if folder not in self._models:
            self._models[folder] = memory_model(family, folder.parent, self.room)


def _read(family: ModelFamily, folder: Path, split: Split) -> Crystals:
    store = PackedStore.open(folder)
    rows = store.index_of((*split.train, *split.validation))
    every = store_sizes(family, store)
    chosen = {name: column[rows] for name, column in every.items()}
    return Crystals(some_crystals(chosen, _CRYSTALS))


def memory_model(family: ModelFamily, root: Path, room: Room) -> MemoryModel:
    """Return what this machine was measured to be, or else a careful guess.

    `sitenet space check --store` measures a machine; its result lies beside the stores.

    Args:
        family: of the trainings.
        root: folder of the stores.
        room: device and threads of a training.
    """
    for threads in dict.fromkeys((room.threads, 1)):
        options = Calibrating(root, room.device, threads)
        path = calibration_path(root, this_machine(family, options))
        try:
            if path.exists():
                return MemoryModel.calibrated(Calibration.load(path), room.threads)
        except DataError as error:
            _log.warning("memory is guessed, for want of a calibration: %s", error)
    return MemoryModel.guessed(room.device, room.threads)
