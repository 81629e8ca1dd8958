"""Seconds of one training step through `fit` with one thread and with two."""

import os
import statistics
from typing import Any

from experiments.benchmarks.core.fitting import crystals_of, epoch_seconds
from experiments.benchmarks.core.setup import Setup

COUNTS = (1, 2)
_TURNS = 3


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return wall and processor seconds of an epoch of one step, by threads.

    The numbers of threads take turns, so that both meet the same process and machine.
    """
    crystals = crystals_of(setup, arguments)
    turns = [
        [epoch_seconds(setup, crystals, threads=n) for n in COUNTS]
        for _ in range(_TURNS)
    ]
    found: dict[str, Any] = {**crystals.facts, "load_average": os.getloadavg()[0]}
    for threads, times in zip(COUNTS, zip(*turns, strict=True), strict=True):
        cpu, wall = (statistics.median(column) for column in zip(*times, strict=True))
        found |= {f"wall_seconds_{threads}": wall, f"cpu_seconds_{threads}": cpu}
    return found
