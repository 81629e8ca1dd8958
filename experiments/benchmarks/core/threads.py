"""Seconds of one training step with one thread and with two, in one process."""

import os
import statistics
import time
from typing import Any

from experiments.benchmarks.core.measuring import cpu_seconds
from experiments.benchmarks.core.setup import Setup
from experiments.benchmarks.core.stepper import Stepper, Task, make_stepper
from sitenet_core.training.machine import torch_threads

COUNTS = (1, 2)
_STEPS = 3


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return wall and processor seconds of a step at `limit` atoms, by threads.

    The numbers of threads take turns, so that both meet the same process and machine.
    """
    stepper = make_stepper(setup, Task("ours", arguments["limit"], setup.sites))
    for threads in COUNTS:
        _timed(stepper, threads)
    turns = [[_timed(stepper, threads) for threads in COUNTS] for _ in range(_STEPS)]
    found: dict[str, Any] = {**stepper.facts, "load_average": os.getloadavg()[0]}
    for threads, times in zip(COUNTS, zip(*turns, strict=True), strict=True):
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        found |= {f"wall_seconds_{threads}": wall, f"cpu_seconds_{threads}": cpu}
    return found


def _timed(stepper: Stepper, threads: int) -> tuple[float, float]:
    with torch_threads(threads):
        wall, cpu = time.perf_counter(), cpu_seconds()
        stepper.step()
        return time.perf_counter() - wall, cpu_seconds() - cpu
