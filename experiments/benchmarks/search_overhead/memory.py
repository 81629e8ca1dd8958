"""Milliseconds that planning the memory of a segment takes in the driver."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from search.space import Space
from search.trial.memory import Room, TrialMemory
from sitenet_core.config import SplitConfig, TrialConfig
from sitenet_core.data import Split
from sitenet_core.training.crystals import Crystals

CRYSTALS = 8192
"""As many as a plan looks at, however large the data."""
TRIALS = 40
_ROOMS = {"enough memory": 10**11, "halved, or does not fit": 9 * 10**8}


def plans(space: Space, n: int = CRYSTALS) -> dict[str, dict[str, Any]]:
    """Return the cost of a plan, of a trial's first segment and of a later one."""
    rng = np.random.default_rng(7)
    configs = [space.configuration(space.sample(rng), {}) for _ in range(TRIALS + 1)]
    found = {}
    for name, room in _ROOMS.items():
        store = Path("drawn")
        crystals = {store: Crystals(drawn_sizes(n))}
        memory = TrialMemory(_no_split(), Room("cpu", 1, room), crystals)
        # The first of a session reads the crystals and loads the network's code.
        memory.plan(configs[0], store)
        plan = partial(memory.plan, store=store)
        found[f"first of a trial, {name}"] = _median(plan, configs[1:])
        found[f"a later one, {name}"] = _median(plan, configs[1:])
    return found


def drawn_sizes(n: int) -> dict[str, np.ndarray]:
    """Return sizes much as those of Matbench's band gaps in cells of 500 atoms."""
    rng = np.random.default_rng(7)
    unique = np.clip(rng.lognormal(np.log(20), 0.8, n), 1, 444).astype(np.int64)
    sites = np.maximum(unique // 2, 1)
    return {"n_unique_sites": unique, "n_sites": sites, "n_pairs": sites * 250}


def _no_split() -> Split:
    """Return a split that no crystals are read for."""
    config = SplitConfig()
    nothing: tuple[str, ...] = ()
    return Split(
        column="y",
        config=config,
        cell_limit=500,
        store_digest="",
        train=nothing,
        validation=nothing,
        test=nothing,
    )


def _median(
    plan: Callable[[TrialConfig], object], configs: list[TrialConfig]
) -> dict[str, Any]:
    walls, cpus = [], []
    for config in configs:
        began, used = time.perf_counter(), time.process_time()
        plan(config)
        walls.append(1000 * (time.perf_counter() - began))
        cpus.append(1000 * (time.process_time() - used))
    return {
        "count": len(configs),
        "wall_ms": float(np.median(walls)),
        "cpu_ms": float(np.median(cpus)),
    }
