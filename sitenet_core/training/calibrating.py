"""Calibrates a machine by short trainings, once: the result is kept beside stores."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from sitenet_core.config import TrialConfig, merge
from sitenet_core.data.schema import CRYSTAL
from sitenet_core.data.store import PackedStore
from sitenet_core.families import ModelFamily
from sitenet_core.training.calibration import (
    Calibration,
    Machine,
    Probed,
    fit_calibration,
)
from sitenet_core.training.forecast import amounts, store_sizes
from sitenet_core.training.machine import Device
from sitenet_core.training.probe import Measurement, Probe, chosen_rows, measure_apart
from sitenet_core.training.residence import free_memory

_PROCESSOR = Path("/proc/cpuinfo")
_DIGITS = 16
"""Of a digest that are kept."""
_MADE_UP = (1, 30, 7000)
"""Sizes of crystals whose costs tell one way of counting from another."""


@dataclass(frozen=True)
class Calibrating:
    """Where a calibration is kept and what it is for."""

    root: Path
    """Folder of the stores."""
    device: Device = "cpu"
    threads: int = 1
    run: Callable[[Probe], Measurement] | None = None
    """Measures one probe; None is `measure_apart`."""
    on_probe: Callable[[int, int], None] | None = None
    """Told of the number of every probe, from 1, and of how many there are."""


def calibrated(
    family: ModelFamily, store: PackedStore, options: Calibrating
) -> Calibration:
    """Return the calibration of this machine, measured on `store` if there is none.

    Raises:
        DataError: if the file of an earlier one is damaged, or `store` has no labels.
        InfrastructureError: if a probe fails.
    """
    machine = this_machine(family, options)
    path = calibration_path(options.root, machine)
    if path.exists():
        return Calibration.load(path)
    found = _measured(family, store, options, machine)
    found.save(path)
    return found


def calibration_path(root: Path, machine: Machine) -> Path:
    """Return the file of a machine's calibration below the folder of stores."""
    text = json.dumps(asdict(machine), sort_keys=True)
    return (
        root / f"calibration-{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}.json"
    )


def this_machine(family: ModelFamily, options: Calibrating) -> Machine:
    """Return what a calibration made here and now holds for."""
    on_gpu = options.device == "gpu"
    return Machine(
        family=family.name,
        feature_version=family.feature_version,
        device=options.device,
        device_name=torch.cuda.get_device_name() if on_gpu else _processor(),
        threads=options.threads,
        torch=torch.__version__,
        counts=counts_digest(family),
    )


def counts_digest(family: ModelFamily) -> str:
    """Return a digest of what the family's probes cost on a few made-up crystals."""
    names = [s.name for s in family.schema if s.scope == CRYSTAL and not s.shape]
    sizes = dict.fromkeys(names, np.array(_MADE_UP))
    counted = hashlib.sha256()
    for changes in family.probes:
        config = family.Config.from_preset("paper", dict(changes))
        for in_parts in (False, True):
            found = asdict(family.cost(sizes, config, in_parts=in_parts))
            for name, values in sorted(found.items()):
                digits = [f"{value:.9e}" for value in np.ravel(values)]
                counted.update(json.dumps([name, digits]).encode())
    return counted.hexdigest()[:_DIGITS]


def probe_configs(family: ModelFamily, store: PackedStore) -> list[TrialConfig]:
    """Return the configurations that the family's probes train on a store."""
    cell = {"cell": dict(store.header.settings)}
    return [
        family.Config.from_preset("paper", merge(changes, cell))
        for changes in family.probes
    ]


def _measured(
    family: ModelFamily, store: PackedStore, options: Calibrating, machine: Machine
) -> Calibration:
    memory, sizes = free_memory(options.device), store_sizes(family, store)
    configs, run = probe_configs(family, store), options.run or measure_apart
    probed, processes = [], []
    for number, config in enumerate(configs, start=1):
        if options.on_probe is not None:
            options.on_probe(number, len(configs))
        nested = config.model_dump(mode="json")
        probe = Probe(store.path, nested, options.device, options.threads)
        found = run(probe)
        rows = chosen_rows(family, config, store, probe)
        done = amounts(config, {k: v[rows] for k, v in sizes.items()}, memory)
        probed.append(Probed(done, found.seconds, found.peak_bytes))
        processes.append(found.process_bytes)
    return fit_calibration(machine, probed, max(processes), memory)


def _processor() -> str:
    if _PROCESSOR.exists():
        for line in _PROCESSOR.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
