"""The measures beside floor and aim, computed from a run."""

from experiments.benchmarks.core.medians import Medians
from experiments.benchmarks.core.plan import (
    KINDS,
    OURS,
    SHIPPED,
    TUNED,
    cold_name,
    threads_name,
)
from experiments.benchmarks.core.plan import step_name as named
from experiments.benchmarks.core.setup import Setup
from experiments.benchmarks.core.tables import KB, MIB, Measure

_STEP_BOUNDS = {500: ((10.0, 20.0), (4.0, 8.0)), 100: ((5.0, 9.0), (3.5, 5.5))}
"""By atoms: floor and aim against malloc as shipped, and against malloc tuned."""
LARGEST_GROWTH = 1.25
"""Peak memory at the largest supercell over that at the smallest that counts as flat:
our bound."""
MINUTE = 60.0


def measures(setup: Setup, medians: Medians, full: Medians) -> list[Measure]:
    """Return every measure; `full` holds what `build_full_set.py` found."""
    return [
        *_steps(setup, medians),
        *_accuracy(setup, medians),
        *_features(setup, medians, full),
        *_pipeline(setup, medians),
        *_memory(setup, medians),
    ]


def _best(setup: Setup, medians: Medians, limit: int, malloc: str) -> tuple[str, str]:
    """Return our faster step: `eager` or `compiled`, and its name."""
    kinds = [
        (kind, named(implementation, malloc, limit, setup.sites))
        for kind, implementation in zip(KINDS, OURS, strict=True)
    ]
    done = [one for one in kinds if medians.of(one[1], "cpu_seconds") is not None]
    return min(
        done, key=lambda one: medians.of(one[1], "cpu_seconds") or 0, default=kinds[0]
    )


def _steps(setup: Setup, medians: Medians) -> list[Measure]:
    found = []
    for limit, bounds in _STEP_BOUNDS.items():
        for malloc, (floor, aim) in zip((SHIPPED, TUNED), bounds, strict=True):
            dense = named("dense", malloc, limit, setup.sites)
            kind, ours = _best(setup, medians, limit, malloc)
            ratio = medians.ratio(dense, ours, "cpu_seconds")
            what = f"step at {limit} atoms, dense ÷ ours ({kind}), malloc {malloc}"
            found.append(Measure(what, ratio, floor, aim, "×", more_is_better=True))
    dense = named("dense", SHIPPED, max(setup.limits), setup.sites)
    ours = named("ours", SHIPPED, max(setup.limits), setup.sites)
    ratio = medians.ratio(dense, ours, "peak_bytes")
    what = "peak memory of that step at 500 atoms, dense ÷ ours (eager)"
    return [*found, Measure(what, ratio, 15.0, 30.0, "×", more_is_better=True)]


def _accuracy(setup: Setup, medians: Medians) -> list[Measure]:
    found = []
    for kind, floor in (("unmerged", 1e-10), ("merged", 1e-6)):
        for what in ("predictions", "gradients"):
            names = [f"accuracy/{kind}/{limit} atoms" for limit, _ in setup.accuracy]
            values = [medians.of(name, f"{what}_relative") for name in names]
            known = [value for value in values if value is not None]
            text = f"{what} against the dense oracle, float64, {kind}"
            found.append(Measure(text, max(known, default=None), floor, None, ""))
    return found


def _features(setup: Setup, medians: Medians, full: Medians) -> list[Measure]:
    name = f"features/ours/{max(setup.feature_limits)} atoms"
    seconds, size = full.of("full", "wall_seconds"), medians.of(name, "bytes")
    minutes = None if seconds is None else seconds / MINUTE
    size = full.of("full", "bytes_per_structure") or size
    return [
        Measure(
            "features at 500 atoms, mean per structure, reading apart",
            medians.of(name, "mean_ms"),
            5.0,
            2.5,
            " ms",
        ),
        Measure("all of `mp_gap_full`, two workers", minutes, 6.0, 3.0, " min"),
        Measure(
            "on disk per structure at 500 atoms",
            None if size is None else size / KB,
            45.0,
            25.0,
            " kB",
        ),
    ]


def _pipeline(setup: Setup, medians: Medians) -> list[Measure]:
    largest = max(setup.limits)
    kind, name = _best(setup, medians, largest, SHIPPED)
    load, step = (medians.of(name, k) for k in ("loader_cpu_seconds", "cpu_seconds"))
    share = 100 * load / step if load is not None and step else None
    start, first = (
        medians.of(f"start/{largest} atoms", k) for k in ("wall_seconds", "first_step")
    )
    cold = medians.of(cold_name(largest), "first_step")
    one, two = (medians.of(threads_name(largest), f"wall_seconds_{n}") for n in (1, 2))
    faster = one / two if one is not None and two else None
    text = "first training step after that"
    return [
        Measure(
            f"loader's share of a step at 500 atoms ({kind})", share, 2.0, 0.5, " %"
        ),
        Measure("trial start after imports", start, 2.0, None, " s"),
        Measure(f"{text}, kernels loaded", first, None, None, " s"),
        Measure(f"{text}, kernels compiled anew", cold, None, None, " s"),
        Measure(
            "wall time of a step at 500 atoms through fit, 1 thread ÷ 2 threads",
            faster,
            None,
            None,
            "×",
            more_is_better=True,
        ),
    ]


def _memory(setup: Setup, medians: Medians) -> list[Measure]:
    limits = sorted({*setup.feature_limits, *setup.limits})
    ends = [f"growth/{limit} atoms" for limit in (limits[-1], limits[0])]
    growth = medians.ratio(*ends, "peak_bytes")
    cell = medians.of(f"cell/{min(setup.cells)} sites/train", "peak_bytes")
    return [
        Measure(
            "peak memory at one pair budget, 500 atoms ÷ 50 atoms",
            growth,
            LARGEST_GROWTH,
            None,
            "×",
        ),
        Measure(
            "one step on a 500-atom primitive cell",
            None if cell is None else cell / MIB,
            1024.0,
            None,
            " MiB",
        ),
    ]
