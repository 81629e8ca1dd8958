"""Every measurement of a run, by name."""

from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.core.sample import cell_name
from experiments.benchmarks.core.setup import Setup

SHIPPED, TUNED = "shipped", "tuned"
BF16 = "bf16"
VARIANTS = (SHIPPED, TUNED, BF16)
"""Kinds of a step: malloc as shipped or tuned; on a GPU, shipped or half precision."""
OURS = ("ours", "ours_compiled")
GROWTH = 4
"""Batches in one where growth is measured, so that its groups are full."""
KINDS = ("eager", "compiled")
ACCURACIES = (
    "unmerged",
    "merged",
    "fused unmerged",
    "fused merged",
    "plain unmerged",
    "plain merged",
    "bf16",
    "fp16",
)
"""Ways of computing whose results are compared, see `accuracy.measure`."""
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
    cold: bool = False
    """The kernels are compiled in it, since numba's cache is an empty folder."""


def implementations(setup: Setup) -> tuple[str, ...]:
    """Return what steps side by side."""
    compiled = ("ours_compiled",) if setup.compiled else ()
    published = ("published",) if setup.published else ()
    return ("ours", *compiled, "dense", *published)


def step_name(implementation: str, variant: str, limit: int, sites: int) -> str:
    """Return the name of a training step on the pool."""
    return f"step/{implementation}/{variant}/{limit} atoms/{sites} sites"


def all_jobs(setup: Setup) -> dict[str, Job]:
    """Return the measurements in the order in which they take turns."""
    jobs = _steps(setup) + _curve(setup)
    if setup.device == "cpu":
        jobs += _accuracy(setup) + _features(setup) + _memory(setup)
        jobs += _starts(setup) + _threads(setup)
    jobs += _fits(setup)
    return {job.name: job for job in jobs}


def _step(implementation: str, limit: int, sites: int, variant: str = SHIPPED) -> Job:
    arguments = {"implementation": implementation, "limit": limit, "sites": sites}
    arguments |= {"steps": _STEPS.get(implementation, 1)}
    if variant == BF16:
        arguments["precision"] = "bf16-mixed"
    name = step_name(implementation, variant, limit, sites)
    return Job(name, "step", arguments, TUNED if variant == TUNED else SHIPPED)


def _steps(setup: Setup) -> list[Job]:
    on_cpu = setup.device == "cpu"
    return [
        _step(implementation, limit, setup.sites, variant)
        for limit in setup.limits
        for variant in ((SHIPPED, TUNED) if on_cpu else (SHIPPED, BF16))
        for implementation in implementations(setup)
        if variant != BF16 or implementation in OURS
    ]


def _curve(setup: Setup) -> list[Job]:
    jobs = []
    for limit, sites in setup.curve:
        jobs.append(_step("ours", limit, sites))
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
        for kind in ACCURACIES
    ]


def cold_name(limit: int) -> str:
    """Return the name of a trial's start whose kernels are compiled."""
    return f"start cold/{limit} atoms"


def _starts(setup: Setup) -> list[Job]:
    jobs = [
        Job(f"start/{limit} atoms", "start", {"limit": limit}) for limit in setup.limits
    ]
    limit = max(setup.limits)
    cold = Job(cold_name(limit), "start", {"limit": limit}, once=True, cold=True)
    return [*jobs, cold]


def threads_name(limit: int) -> str:
    """Return the name of a step through `fit` with one and with two threads."""
    return f"threads/{limit} atoms"


def _threads(setup: Setup) -> list[Job]:
    return [
        Job(threads_name(limit), "threads", _fitted(limit, "eager", "32", epochs=2))
        for limit in setup.limits
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
        arguments = {"implementation": "ours", "limit": limit}
        arguments |= {"sites": GROWTH * setup.sites, "pair_budget": setup.pair_budget}
        jobs.append(Job(f"growth/{limit} atoms", "step", arguments, once=True))
    for n_atoms in setup.cells:
        for purpose in ("train", "predict"):
            arguments = {"implementation": "ours", "limit": max(setup.limits)}
            arguments |= {"sites": 1, "source": cell_name(n_atoms)}
            arguments |= {"predict": purpose == "predict"}
            name = f"cell/{n_atoms} sites/{purpose}"
            jobs.append(Job(name, "step", arguments, once=True))
    return jobs


def fit_name(kind: str, precision: str, limit: int) -> str:
    """Return the name of an epoch through `fit`, eager or compiled."""
    return f"fit/{kind}/{precision}/{limit} atoms"


def _fits(setup: Setup) -> list[Job]:
    precisions = ("32",) if setup.device == "cpu" else ("32", "bf16-mixed")
    kinds = KINDS if setup.compiled else KINDS[:1]
    return [
        Job(
            fit_name(kind, precision, limit),
            "fitting",
            _fitted(limit, kind, precision, epochs=5),
            once=True,
        )
        for limit in setup.limits
        for kind in kinds
        for precision in precisions
    ]


def _fitted(limit: int, kind: str, precision: str, *, epochs: int) -> dict[str, Any]:
    compiled = kind == "compiled"
    chosen = {"compile": compiled, "precision": precision, "epochs": epochs}
    return {"limit": limit, **chosen}
