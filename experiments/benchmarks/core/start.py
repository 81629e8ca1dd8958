"""Seconds until a trial's first batch is there: store opened, network built, batch."""

import time
from typing import Any

from experiments.benchmarks.core.measuring import cpu_seconds
from experiments.benchmarks.core.ours import (
    build_network,
    configuration,
    declared_batch,
    first_batch,
)
from experiments.benchmarks.core.setup import Setup
from sitenet_core.structures.sources import open_source  # noqa: F401 (an import)
from sitenet_core.training.module import TrainingModule  # noqa: F401 (an import)


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return wall and processor seconds after the imports, with `limit` atoms."""
    begin = time.perf_counter(), cpu_seconds()
    config = configuration(setup, arguments["limit"], merged=True)
    crystals = first_batch(setup, config, setup.sites)
    opened = time.perf_counter()
    build_network(config, setup.seed)
    built = time.perf_counter()
    next(iter(declared_batch(crystals, "cpu")))
    end = time.perf_counter(), cpu_seconds()
    return {
        "wall_seconds": end[0] - begin[0],
        "cpu_seconds": end[1] - begin[1],
        "opening": opened - begin[0],
        "building": built - opened,
        "first_batch": end[0] - built,
    }
