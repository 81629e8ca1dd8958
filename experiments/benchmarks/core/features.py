"""Milliseconds per structure of featurising, by stage, and bytes in the store."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from types import FunctionType, ModuleType
from typing import Any

from experiments.benchmarks.core import published
from experiments.benchmarks.core.measuring import cpu_seconds
from experiments.benchmarks.core.ours import configuration, open_store
from experiments.benchmarks.core.published import read_records
from experiments.benchmarks.core.setup import Setup
from sitenet_core.families import get_family
from sitenet_core.families.sitenet import featurise as stages


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the cost of features at `limit` atoms: ours, or the published code's."""
    limit = arguments["limit"]
    if arguments.get("implementation") == "published":
        return published.features(setup, limit)
    config = configuration(setup, limit, merged=True)
    family = get_family(config.family)
    settings = family.settings(config)
    begin = cpu_seconds()
    records = read_records(setup, setup.featurised)
    reading = cpu_seconds() - begin
    structures = [r.given for r in records]
    # tables and caches are filled before anything is timed
    family.featurise(structures[0], settings)
    each = []
    for structure in structures:
        begin = time.process_time()
        family.featurise(structure, settings)
        each.append(time.process_time() - begin)
    with_stages = _by_stage(stages, structures, settings)
    store = open_store(setup, config)
    return {
        "mean_ms": 1e3 * statistics.fmean(each),
        "median_ms": 1e3 * statistics.median(each),
        "largest_ms": 1e3 * max(each),
        "reading_ms": 1e3 * reading / len(structures),
        "stages_ms": {k: 1e3 * v / len(structures) for k, v in with_stages.items()},
        "bytes": store.header.bytes / len(store),
        "structures": len(structures),
    }


def _by_stage(
    module: ModuleType, structures: list[Any], settings: Any
) -> dict[str, float]:
    """Return the seconds spent in what `featurise` sees, by name.

    That is every function of its module's namespace and every method of the classes
    there. Time in one that another one calls is counted once, in the inner one.
    """
    spent: dict[str, float] = defaultdict(float)
    inner = [0.0]

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            begin = time.process_time()
            inner.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                whole = time.process_time() - begin
                spent[name] += whole - inner.pop()
                inner[-1] += whole

        return call

    before = _callables(module)
    for owner, name, function in before:
        setattr(owner, name, timed(name, function))
    try:
        for structure in structures:
            module.featurise(structure, settings)
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def _callables(module: ModuleType) -> list[tuple[Any, str, Callable[..., Any]]]:
    """Return (owner, name, function) of the functions and methods in a namespace."""
    classes = [v for v in vars(module).values() if isinstance(v, type)]
    return [
        (owner, name, value)
        for owner in (module, *dict.fromkeys(classes))
        for name, value in vars(owner).items()
        if isinstance(value, FunctionType) and not name.startswith("__")
    ]
