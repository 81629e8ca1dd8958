"""The section `fidelity` of a study file as levels, and what can be wrong with it."""

from typing import Any

from search.engine.fidelity import Fidelity, Level
from search.space import Space
from search.study.config import (
    EpochsFidelity,
    FidelityConfig,
    MaxAtomsFidelity,
    StructuresFidelity,
    StudyConfig,
)
from sitenet_core.config import Problem, TrialConfig

MAX_ATOMS = "cell.max_atoms"
"""The key of a configuration that fidelity `max_atoms` varies."""


def levels_of(given: FidelityConfig, epochs: int) -> Fidelity:
    """Return the levels that a complete trial goes through, `epochs` at each."""
    if isinstance(given, EpochsFidelity):
        return Fidelity((Level(0, epochs),))
    if isinstance(given, StructuresFidelity):
        changes: list[dict[str, Any]] = [
            {"name": f"share {share:g}", "share": share} for share in given.shares
        ]
    else:
        changes = [
            {"name": f"max_atoms {most}", "max_atoms": most} for most in given.values
        ]
    levels = [
        Level(epochs * index, epochs * (index + 1), **change)
        for index, change in enumerate(changes)
    ]
    return Fidelity(tuple(levels))


def level_sizes(given: FidelityConfig) -> tuple[int, ...]:
    """Return the sizes of supercell that every trial may be trained at."""
    return given.values if isinstance(given, MaxAtomsFidelity) else ()


def share_seed(given: FidelityConfig) -> int:
    """Return what decides which structures are in a share."""
    return given.seed if isinstance(given, StructuresFidelity) else 0


def fidelity_problems(
    config: StudyConfig, space: Space, base: TrialConfig
) -> list[Problem]:
    """Return what does not fit together: fidelity, scheduler, space, configuration."""
    given, scheduler = config.fidelity, config.algorithm.scheduler
    if isinstance(given, EpochsFidelity):
        return []
    if scheduler.kind == "none":
        message = (
            f"rungs along {given.kind} need a scheduler that has rungs: "
            "algorithm.scheduler: {kind: asha}"
        )
        return [Problem(("fidelity", "kind"), message)]
    problems = []
    if scheduler.min_epochs is not None:
        message = (
            f"says nothing where the rungs are levels of {given.kind} (see fidelity); "
            "leave it out"
        )
        problems.append(Problem(("algorithm", "scheduler", "min_epochs"), message))
    if isinstance(given, MaxAtomsFidelity):
        problems += _size_problems(given, space, base)
    return problems


def _size_problems(
    given: MaxAtomsFidelity, space: Space, base: TrialConfig
) -> list[Problem]:
    place = ("fidelity", "values")
    if MAX_ATOMS in space.parameters:
        message = f"{MAX_ATOMS} is sampled by the space, so that it cannot be a rung"
        return [Problem(place, message)]
    most = base.model_dump()["cell"]["max_atoms"]
    if given.values[-1] == most:
        return []
    message = (
        f"the last of {list(given.values)} is the full fidelity and must be "
        f"{MAX_ATOMS} of the study, {most}; change one of them"
    )
    return [Problem(place, message)]
