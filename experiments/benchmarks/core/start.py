"""Seconds until a trial's first batch is there, and those of its first step.

The first step imports numba and loads the kernels, or compiles them if they are not in
numba's cache; the second does neither.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from experiments.benchmarks.core.measuring import cpu_seconds
from experiments.benchmarks.core.ours import (
    build_network,
    configuration,
    declared_batch,
    first_batch,
)
from experiments.benchmarks.core.setup import Setup
from experiments.benchmarks.core.stepper import Task, make_stepper
from sitenet_core.structures.sources import open_source  # noqa: F401 (an import)
from sitenet_core.training.module import TrainingModule  # noqa: F401 (an import)

_KERNELS = "sitenet_core.models.sitenet.fused."


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
        **_steps(setup, arguments["limit"]),
    }


def _steps(setup: Setup, limit: int) -> dict[str, float]:
    stepper = make_stepper(setup, Task("ours", limit, setup.sites))
    first, second = (_wall_seconds(stepper.step) for _ in range(2))
    return {
        "first_step": first,
        "second_step": second,
        "kernels_compiled": float(_kernels_compiled()),
    }


def _wall_seconds(step: Callable[[], object]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def _kernels_compiled() -> int:
    """Return how many kernels this process did not find in numba's cache."""
    modules = [m for name, m in sys.modules.items() if name.startswith(_KERNELS)]
    values = [value for module in modules for value in vars(module).values()]
    kernels = {id(v): v for v in values if hasattr(v, "stats")}
    return sum(sum(k.stats.cache_misses.values()) for k in kernels.values())
