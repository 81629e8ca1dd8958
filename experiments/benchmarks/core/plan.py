"""Every measurement of a run, by name."""

from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.core.sample import cell_name
from experiments.benchmarks.core.setup import Setup

SHIPPED, TUNED = "shipped", "tuned"
MALLOCS = (SHIPPED, TUNED)
OURS = ("ours", "ours_compiled")
_STEPS = {"ours": 3, "ours_compiled": 3}
"""Steps measured in one process; others take one, since they take long."""


@dataclass(frozen=True)
class Job:
    """One measurement in a process of its own."""

    name: str
    """Where the result is kept."""
    module: str
    """Module of this folder whose `measure` is called."""
    arguments: dict[str, Any]
    malloc: str = SHIPPED
    once: bool = False
    """The result does not scatter, or takes long: measured once."""


def implementations(setup: Setup) -> tuple[str, ...]:
    """Return what steps side by side."""
    compiled = ("ours_compiled",) if setup.compiled else ()
    published = ("published",) if setup.published else ()
    return ("ours", *compiled, "dense", *published)


def step_name(implementation: str, malloc: str, limit: int, sites: int) -> str:
    """Return the name of a training step on the pool."""
    return f"step/{implementation}/{malloc}/{limit} atoms/{sites} sites"


def all_jobs(setup: Setup) -> dict[str, Job]:
    """Return the measurements in the order in which they take turns."""
    jobs = _steps(setup) + _curve(setup)
    if setup.device == "cpu":
        jobs += _accuracy(setup) + _features(setup) + _memory(setup)
        jobs += [
            Job(f"start/{limit} atoms", "start", {"limit": limit})
            for limit in setup.limits
        ]
    jobs += _fits(setup)
    return {job.name: job for job in jobs}


def _step(
    implementation: str, limit: int, sites: int, malloc: str = SHIPPED, **more: Any
) -> Job:
    arguments = {"implementation": implementation, "limit": limit, "sites": sites}
    arguments |= {"steps": _STEPS.get(implementation, 1), **more}
    name = step_name(implementation, malloc, limit, sites)
    return Job(name, "step", arguments, malloc)


def _steps(setup: Setup) -> list[Job]:
    mallocs = MALLOCS if setup.device == "cpu" else (SHIPPED,)
    return [
        _step(implementation, limit, setup.sites, malloc)
        for limit in setup.limits
        for malloc in mallocs
        for implementation in implementations(setup)
    ]


def _curve(setup: Setup) -> list[Job]:
    jobs = []
    for limit, sites in setup.curve:
        ours = [i for i in implementations(setup) if i in OURS]
        jobs += [_step(i, limit, sites) for i in ours]
        if sites <= setup.dense_curve_sites:
            jobs.append(_step("dense", limit, sites))
    return jobs


def _accuracy(setup: Setup) -> list[Job]:
    return [
        Job(
            f"accuracy/{kind}/{limit} atoms",
            "accuracy",
            {"kind": kind, "limit": limit, "sites": sites},
            once=True,
        )
        for limit, sites in setup.accuracy
        for kind in ("unmerged", "merged", "bf16")
    ]


def _features(setup: Setup) -> list[Job]:
    jobs = []
    for limit in setup.feature_limits:
        jobs.append(Job(f"features/ours/{limit} atoms", "features", {"limit": limit}))
        if setup.published:
            arguments = {"limit": limit, "implementation": "published"}
            name = f"features/published/{limit} atoms"
            jobs.append(Job(name, "features", arguments, once=True))
    return jobs


def _memory(setup: Setup) -> list[Job]:
    """Return growth with the supercell at one pair budget, and large cells."""
    limits = sorted({*setup.feature_limits, *setup.limits})
    jobs = []
    for limit in limits:
        arguments = {"implementation": "ours", "limit": limit, "sites": setup.sites}
        arguments["pair_budget"] = setup.pair_budget
        jobs.append(Job(f"growth/{limit} atoms", "step", arguments))
    for n_atoms in setup.cells:
        for purpose in ("train", "predict"):
            arguments = {"implementation": "ours", "limit": max(setup.limits)}
            arguments |= {"sites": 1, "source": cell_name(n_atoms)}
            arguments |= {"predict": purpose == "predict"}
            jobs.append(Job(f"cell/{n_atoms} sites/{purpose}", "step", arguments))
    return jobs


def _fits(setup: Setup) -> list[Job]:
    return [
        Job(
            f"fit/{'compiled' if compiled else 'eager'}/{limit} atoms",
            "fitting",
            {"limit": limit, "compile": compiled, "epochs": 3},
        )
        for limit in setup.limits
        for compiled in ((False, True) if setup.compiled else (False,))
    ]
