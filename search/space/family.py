"""Checks a space against its family by building the configurations it can propose."""

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ValidationError

from search.space.conditions import same
from search.space.space import Space
from search.space.values import Value
from sitenet_core.config import (
    Problem,
    TrialConfig,
    flatten,
    merge,
    nearest,
    problems_of,
    unflatten,
)
from sitenet_core.config.located import Location

_NOT_SAMPLED = {
    "family": "a space belongs to one family",
    "training.epochs": "how long a trial trains is decided by the study and scheduler",
    "training.seed": "a seed is no hyperparameter: the best one is luck",
}
_N_SAMPLES = 64


def leaf_keys(config_class: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """Return the dotted keys of every value, sections left out, of `config_class`."""
    keys: list[str] = []
    for name, field in config_class.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            keys.append(prefix + name)
        else:
            keys.extend(leaf_keys(section, f"{prefix}{name}."))
    return tuple(keys)


def name_problems(
    data: Mapping[str, Any], config_class: type[TrialConfig]
) -> list[Problem]:
    """Return the keys and the preset in the file's `data` that the family lacks.

    It needs no readable space, so that a misspelt key is named beside other mistakes.
    """
    keys = leaf_keys(config_class)
    problems = []
    for part in ("fixed", "parameters"):
        entries = data.get(part)
        for name in entries if isinstance(entries, dict) else ():
            message = _name_fault(str(name), keys, sampled=part == "parameters")
            if message is not None:
                problems.append(Problem((part, name), message))
    preset = data.get("preset")
    if isinstance(preset, str) and preset not in config_class.presets:
        hint = nearest(preset, config_class.presets)
        problems.append(Problem(("preset",), f"unknown preset; {hint}"))
    return problems


def value_problems(space: Space, config_class: type[TrialConfig]) -> list[Problem]:
    """Return the values of `space` that the family refuses, empty if it takes all.

    Every bound and every choice, around several base points, every known-good
    configuration and 64 random ones, as far as the constraints allow them, must be
    valid configurations whose values come out as they went in. The names have to be
    right already (`name_problems`).
    """
    found: dict[Location, Problem] = {}
    for flat in filter(space.allows, _probes(space)):
        for problem in _probe_problems(space, config_class, flat):
            found.setdefault(problem.location, problem)
    # A bound that is refused explains the values that are refused beyond it.
    explained = {location[:2] for location in found if len(location) > 2}
    return [p for location, p in found.items() if location not in explained]


def _name_fault(name: str, keys: Sequence[str], *, sampled: bool) -> str | None:
    if sampled and name in _NOT_SAMPLED:
        return f"cannot be sampled: {_NOT_SAMPLED[name]}"
    if name in keys:
        return None
    if below := [key for key in keys if key.startswith(f"{name}.")]:
        return f"is a section; name one of its keys: {', '.join(below)}"
    return f"is not a key of the family's configuration; {nearest(name, keys)}"


def _probes(space: Space) -> Iterator[dict[str, Value]]:
    """Yield configurations that reach every bound and every choice."""
    for known in space.known_good:
        if not space.faults(known):
            yield space.resolve(known)
    generator = np.random.default_rng(0)
    n_parameters = len(space.parameters)
    bases = [[0.0] * n_parameters, [np.nextafter(1, 0)] * n_parameters]
    bases += generator.random((6, n_parameters)).tolist()
    for base in bases:
        pairs = zip(space.parameters.items(), base, strict=True)
        values: dict[str, Value] = {n: p.from_unit(unit) for (n, p), unit in pairs}
        for name, parameter in space.parameters.items():
            for extreme in parameter.extremes.values():
                yield space.resolve(values | {name: extreme})
    for _ in range(_N_SAMPLES):
        yield space.sample(generator)


def _probe_problems(
    space: Space, config_class: type[TrialConfig], flat: Mapping[str, Value]
) -> Iterator[Problem]:
    changes = merge(unflatten(space.fixed), unflatten(flat))
    try:
        config = config_class.from_preset(space.preset, changes)
    except ValidationError as error:
        for problem in problems_of(config_class, error):
            key = ".".join(str(part) for part in problem.location)
            yield Problem(_blame(space, flat, key), f"{key}: {problem.message}")
        return
    result = flatten(config.model_dump())
    for name, value in flat.items():
        if type(result[name]) is not type(value) and not _same_number(
            result[name], value
        ):
            message = f"{value!r} is read as {result[name]!r} by the family; write that"
            yield Problem(_blame(space, flat, name), message)


def _blame(space: Space, flat: Mapping[str, Value], key: str) -> Location:
    """Return the place in the file that made the family refuse `key`."""
    if key in space.parameters:
        for part, extreme in space.parameters[key].extremes.items():
            if same(extreme, flat[key]):
                return ("parameters", key, *_parts(part))
        return ("parameters", key)
    if key in space.fixed:
        return ("fixed", key)
    under = [name for name in space.parameters if f"{name}.".startswith(f"{key}.")]
    return ("parameters", under[-1]) if under else ("parameters",)


def _same_number(result: Value, value: Value) -> bool:
    """Return whether 1 was taken for 1.0, or the other way round.

    A float for a whole number is refused by the family as soon as it has a fraction.
    """
    numbers = all(type(v) in {int, float} for v in (result, value))
    return numbers and result == value


def _parts(part: str) -> tuple[str | int, ...]:
    key, _, index = part.partition(".")
    return (key, int(index)) if index else (key,)


def _section(annotation: Any) -> type[BaseModel] | None:
    options = [annotation]
    if get_origin(annotation) in {Union, UnionType}:
        options = [a for a in get_args(annotation) if a is not NoneType]
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
