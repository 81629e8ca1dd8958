"""Seconds of an epoch of one step through `sitenet_core.training.fit`.

The whole way of a training: Lightning, loader, guards, curve and checkpoints included.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.core.measuring import cpu_seconds
from experiments.benchmarks.core.ours import (
    Crystals,
    configuration,
    first_batch,
    kind_of,
    training_data,
)
from experiments.benchmarks.core.setup import Setup
from sitenet_core.training import FitOptions, fit

ALL = 1 << 40
"""More unique sites than there are."""


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the cost of an epoch at `limit` atoms, compiled or not, the first apart.

    `epochs` of them are measured. On a GPU an epoch is the whole pool.
    """
    crystals = crystals_of(setup, arguments)
    cpu, wall = epoch_seconds(setup, crystals, threads=1)
    return {"cpu_seconds": cpu, "wall_seconds": wall, **crystals.facts}


def crystals_of(setup: Setup, arguments: dict[str, Any]) -> Crystals:
    """Return what is trained on, and how: `epochs`, after a first one."""
    changes = {
        "training": {
            "epochs": arguments["epochs"] + 1,
            "compile": arguments["compile"],
            "precision": arguments["precision"],
        },
        "batch": {"unique_sites": setup.sites},
    }
    config = configuration(setup, arguments["limit"], changes, merged=True)
    return first_batch(setup, config, setup.sites if setup.device == "cpu" else ALL)


def epoch_seconds(
    setup: Setup, crystals: Crystals, *, threads: int
) -> tuple[float, float]:
    """Return the median of processor and wall seconds of the epochs but the first."""
    marks: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        options = FitOptions(
            Path(folder), threads=threads, device=kind_of(setup.device)
        )
        data = training_data(crystals)
        fit(crystals.config, data, options, lambda _: marks.append(_now()))
    cpu, wall = (statistics.median(np.diff(column)) for column in np.array(marks).T)
    return cpu, wall


def _now() -> tuple[float, float]:
    return cpu_seconds(), time.perf_counter()
