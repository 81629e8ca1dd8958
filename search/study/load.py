"""Reads a study file with every error at its line and column."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.engine.fidelity import Fidelity
from search.space import Space, Value, find_space, load_space
from search.study.config import AshaConfig, StudyConfig
from search.study.fidelity import fidelity_problems, levels_of
from search.tracking import check_model_name
from sitenet_core.config import (
    LocatedDocument,
    Problem,
    TrialConfig,
    flatten,
    load_yaml,
    merge,
    nearest,
    problems_of,
    unflatten,
    validate,
)
from sitenet_core.errors import ConfigError
from sitenet_core.families.registry import get_family

_FIRST_RUNG = 3
"""Epochs of the first rung where the study names none."""


@dataclass(frozen=True)
class Study:
    """A checked study: its file and the space that the file names."""

    config: StudyConfig
    space: Space
    file: Path | None = None
    """The file that the user wrote; None for a study read from its own folder."""

    @property
    def base(self) -> TrialConfig:
        """The configuration before anything is sampled: preset < fixed < study."""
        return _base(self.space, self.config.configuration)

    @property
    def fidelity(self) -> Fidelity:
        """What the rungs of the study are levels of."""
        return levels_of(self.config.fidelity, self.base.training.epochs)

    @property
    def base_values(self) -> dict[str, Value]:
        """`base` as dotted keys."""
        return plain_values(self.base)


def load_study(path: Path) -> Study:
    """Return the study in the file at `path`, with the space it names.

    Raises:
        ConfigError: one `FILE:LINE:COLUMN: key: message` line per problem of the study
            file, or the problems of the space file it names.
    """
    document = load_yaml(path)
    config = validate(StudyConfig, document)
    try:
        find_space(config.space, relative_to=path.parent)
    except ConfigError as error:
        problem = Problem(("space",), str(error))
        raise document.error([problem]) from error
    space = load_space(config.space, relative_to=path.parent)
    _check_configuration(document, space, config.configuration)
    study = _with_first_rung(Study(config, space, path))
    problems = [
        *_algorithm_problems(config),
        *_promotion_problems(space, config),
        *fidelity_problems(config, space, study.base),
        *_budget_problems(study),
    ]
    if problems:
        raise document.error(problems)
    return study


def _with_first_rung(study: Study) -> Study:
    """Return the study with the epochs of its first rung, where it names none."""
    algorithm, epochs = study.config.algorithm, study.base.training.epochs
    scheduler = algorithm.scheduler
    if study.config.fidelity.kind != "epochs" or not isinstance(scheduler, AshaConfig):
        return study
    first = scheduler.min_epochs or min(_FIRST_RUNG, epochs)
    scheduler = scheduler.model_copy(update={"min_epochs": first})
    algorithm = algorithm.model_copy(update={"scheduler": scheduler})
    config = study.config.model_copy(update={"algorithm": algorithm})
    return replace(study, config=config)


def _check_configuration(
    document: LocatedDocument, space: Space, changes: dict[str, Any]
) -> None:
    problems = space.override_problems(changes)
    if not problems:
        try:
            _base(space, changes)
        except ValidationError as error:
            problems = problems_of(get_family(space.family).Config, error)
    if problems:
        raise document.error(
            Problem(("configuration", *p.location), p.message) for p in problems
        )
    problems = _rung_problems(document, _base(space, changes).training.epochs)
    if problems:
        raise document.error(problems)


def _algorithm_problems(config: StudyConfig) -> list[Problem]:
    """Return what the searcher would not heed."""
    algorithm = config.algorithm
    if algorithm.searcher != "random" or algorithm.startup_trials is None:
        return []
    message = (
        "says nothing where the searcher is random, which has no model to begin after "
        "them; leave it out"
    )
    return [Problem(("algorithm", "startup_trials"), message)]


def _promotion_problems(space: Space, config: StudyConfig) -> list[Problem]:
    """Return what `promote` would refuse, once the search is over."""
    problems = []
    promotion = config.promotion
    if promotion.folds and config.data.split.kind != "fold":
        message = (
            f"data.split.kind is {config.data.split.kind}, which has no official "
            "folds; set folds to false, or kind to fold"
        )
        problems.append(Problem(("promotion", "folds"), message))
    presets = get_family(space.family).Config.presets
    for index, reference in enumerate(promotion.references):
        kind, _, name = reference.partition(":")
        if kind == "preset" and name not in presets:
            message = (
                f"{reference!r} names no preset of family {space.family}; "
                f"{nearest(name, presets)}"
            )
            problems.append(Problem(("promotion", "references", index), message))
    if promotion.register_as is not None:
        try:
            check_model_name(promotion.register_as)
        except ConfigError as error:
            problems.append(Problem(("promotion", "register_as"), str(error)))
    return problems


def _budget_problems(study: Study) -> list[Problem]:
    """Return what is wrong with a budget in which no trial can be completed."""
    given, needed = study.config.budget.epochs, study.fidelity.epochs
    if given is None or given >= needed:
        return []
    message = (
        f"{given} epochs are less than the {needed} epochs of one full trial "
        "(configuration.training.epochs, at each level of the fidelity), so that none "
        "could be completed; raise it"
    )
    return [Problem(("budget", "epochs"), message)]


def _rung_problems(document: LocatedDocument, epochs: int) -> list[Problem]:
    """Return what is wrong with rungs and epochs taken together."""
    scheduler = document.data.get("algorithm", {}).get("scheduler", {})
    kind = document.data.get("fidelity", {}).get("kind", "epochs")
    if scheduler.get("kind") != "asha" or kind != "epochs":
        return []
    first = scheduler.get("min_epochs")
    # What a study of so few epochs has by itself, and its saved file therefore says.
    only = min(_FIRST_RUNG, epochs)
    if first is None or first < epochs or first == only:
        return []
    message = (
        f"the first rung, {first} epochs, does not lie before the last of the "
        f"{epochs} epochs of a trial (configuration.training.epochs); lower it"
    )
    return [Problem(("algorithm", "scheduler", "min_epochs"), message)]


def plain_values(config: TrialConfig) -> dict[str, Value]:
    """Return the dotted keys of `config` that hold one plain value or none."""
    flat = flatten(config.model_dump(mode="json"))
    return {k: v for k, v in flat.items() if not isinstance(v, list | dict)}


def _base(space: Space, changes: dict[str, Any]) -> TrialConfig:
    nested = merge(unflatten(space.fixed), changes)
    return get_family(space.family).Config.from_preset(space.preset, nested)


def changed_keys(
    old: StudyConfig, new: StudyConfig, free: Iterable[str] = ("budget",)
) -> list[str]:
    """Return the dotted keys outside the sections `free` in which studies differ."""
    before = flatten(old.model_dump(mode="json"))
    after = flatten(new.model_dump(mode="json"))
    keys = sorted(before.keys() | after.keys())
    missing = object()
    sections = set(free)
    return [
        key
        for key in keys
        if before.get(key, missing) != after.get(key, missing)
        and key.partition(".")[0] not in sections
    ]
