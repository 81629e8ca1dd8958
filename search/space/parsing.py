"""From the data of a space file to a space, collecting every problem on the way."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, ValidationError

from search.space.conditions import Condition, evaluation_order
from search.space.constraint_check import (
    Names,
    acceptance_problems,
    constraint_problems,
    known_good_problems,
)
from search.space.parameter_entry import read_parameter
from search.space.parameters import Parameter
from search.space.space import Space
from search.space.values import DeclaredValue
from sitenet_core.config import Problem, StrictModel, nearest, problems_of
from sitenet_core.config.located import Location

Text = Annotated[str, Strict()]


class SpaceHeader(StrictModel):
    """The keys of a space file, before its parameters are looked into."""

    version: Literal[1]
    family: Text
    description: Text = ""
    preset: Text
    fixed: dict[str, DeclaredValue] = Field(default_factory=dict)
    parameters: dict[str, dict[str, Any]]
    known_good: tuple[dict[str, DeclaredValue], ...] = ()
    constraints: tuple[Text, ...] = ()


def parse_space(
    name: str, data: Mapping[str, Any]
) -> tuple[Space | None, list[Problem]]:
    """Return the space in `data` and every problem that needs no family to see.

    The space is None if a part of it cannot be read at all, or nothing can be sampled.
    """
    header, problems = _header(data)
    entries = data.get("parameters")
    parameters: dict[str, Parameter] = {}
    if isinstance(entries, dict):
        for key, entry in entries.items():
            parameter, faults = read_parameter(key, entry)
            problems += faults
            if parameter is not None:
                parameters[key] = parameter
        if not entries:
            problems.append(Problem(("parameters",), "a space needs one parameter"))
        declared = {key for key in entries if isinstance(key, str)}
        problems += _condition_problems(parameters, declared)
        problems += _constraint_problems(data, parameters, declared)
    if header is None:
        return None, problems
    problems += _fixed_problems(header)
    if len(parameters) < len(header.parameters) or problems:
        return None, problems + _readable_known_good_problems(header, parameters)
    space = Space(**(dict(header) | {"name": name, "parameters": parameters}))
    problems = _known_good_problems(space) or known_good_problems(space)
    empty = acceptance_problems(space)
    return None if empty else space, problems + empty


def _header(data: Mapping[str, Any]) -> tuple[SpaceHeader | None, list[Problem]]:
    try:
        return SpaceHeader.model_validate(dict(data)), []
    except ValidationError as error:
        found = problems_of(SpaceHeader, error)
    # What is inside a parameter is read, and complained about, one by one later.
    return None, [
        p for p in found if p.location[0] != "parameters" or len(p.location) < 2
    ]


def _condition_problems(
    parameters: Mapping[str, Parameter], declared: set[str]
) -> list[Problem]:
    problems: list[Problem] = []
    for name, parameter in parameters.items():
        for condition in parameter.when:
            message = _condition_fault(condition, parameters, declared)
            if message is not None:
                place = ("parameters", name, "when", condition.parameter)
                at_test = condition.parameter in declared
                end: Location = (condition.operator,) if at_test else ()
                problems.append(Problem((*place, *end), message))
    parents = {n: {c.parameter for c in p.when} for n, p in parameters.items()}
    try:
        evaluation_order({name: sorted(decide) for name, decide in parents.items()})
    except ValueError as error:
        circle = next(n for n in parents if n in str(error))
        problems.append(Problem(("parameters", circle, "when"), str(error)))
    return problems


def _condition_fault(
    condition: Condition, parameters: Mapping[str, Parameter], declared: set[str]
) -> str | None:
    if condition.parameter not in declared:
        return (
            "the condition names a parameter that does not exist; "
            f"{nearest(condition.parameter, declared)}"
        )
    decider = parameters.get(condition.parameter)
    if decider is None:
        return None
    if condition.operator in {"equals", "in"}:
        faults = (decider.fault(operand) for operand in condition.operands)
        return next((f for f in faults if f is not None), None)
    values = list(decider.extremes.values())
    if not any(condition.holds(value) for value in values):
        return f"never true: {condition.parameter} is {decider.describe()}"
    return None


def _constraint_problems(
    data: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    declared: set[str],
) -> list[Problem]:
    texts, fixed = data.get("constraints"), data.get("fixed")
    if not isinstance(texts, list):
        return []
    names = Names(parameters, declared, fixed if isinstance(fixed, dict) else {})
    return constraint_problems(texts, names)


def _known_good_problems(space: Space) -> list[Problem]:
    return [
        Problem(("known_good", index, key), message)
        for index, flat in enumerate(space.known_good)
        for key, message in space.faults(flat).items()
    ]


def _readable_known_good_problems(
    header: SpaceHeader, parameters: Mapping[str, Parameter]
) -> list[Problem]:
    """Return the known-good values that are wrong whatever the broken parts say."""
    problems = []
    for index, flat in enumerate(header.known_good):
        for key, value in flat.items():
            message = None
            if key not in header.parameters:
                hint = nearest(key, header.parameters)
                message = f"is not a parameter of this space; {hint}"
            elif key in parameters and value is not None:
                message = parameters[key].fault(value)
            if message is not None:
                problems.append(Problem(("known_good", index, key), message))
    return problems


def _fixed_problems(header: SpaceHeader) -> list[Problem]:
    return [
        Problem(("fixed", key), "is a parameter too; a key is either fixed or sampled")
        for key in header.fixed
        if key in header.parameters
    ]
