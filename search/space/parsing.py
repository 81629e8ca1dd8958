"""From the data of a space file to a space, collecting every problem on the way."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from search.space.conditions import (
    OPERATORS,
    Condition,
    evaluation_order,
)
from search.space.constraint_check import (
    Names,
    acceptance_problems,
    constraint_problems,
    known_good_problems,
)
from search.space.parameters import KINDS, Parameter
from search.space.prior import Prior
from search.space.space import Space
from search.space.values import DeclaredValue
from sitenet_core.config import Problem, StrictModel, nearest, problems_of
from sitenet_core.config.located import Location


class SpaceHeader(StrictModel):
    """The keys of a space file, before its parameters are looked into."""

    version: Literal[1]
    family: str
    description: str = ""
    preset: str
    fixed: dict[str, DeclaredValue] = Field(default_factory=dict)
    parameters: dict[str, dict[str, Any]]
    known_good: tuple[dict[str, DeclaredValue], ...] = ()
    constraints: tuple[str, ...] = ()


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
            parameter, faults = _parameter(key, entry)
            problems += faults
            if parameter is not None:
                parameters[key] = parameter
        if not entries:
            problems.append(Problem(("parameters",), "a space needs one parameter"))
        problems += _condition_problems(parameters, set(entries))
        problems += _constraint_problems(data, parameters, entries)
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


def _parameter(key: Any, entry: Any) -> tuple[Parameter | None, list[Problem]]:
    place: Location = ("parameters", key)
    if not isinstance(key, str):
        return None, [Problem(place, f"a dotted key was expected (found {key!r})")]
    if not isinstance(entry, dict):
        message = "a mapping was expected, such as {type: integer, low: 1, high: 8}"
        return None, [Problem(place, message)]
    kind = entry.get("type")
    if kind not in KINDS:
        return None, [_kind_problem(place, entry)]
    conditions, problems = _conditions((*place, "when"), entry.get("when", {}))
    prior, faults = _prior((*place, "prior"), entry)
    problems += faults
    apart = {"when", "prior"}
    fields = {k: v for k, v in entry.items() if k not in apart} | {"when": conditions}
    try:
        parameter = KINDS[kind].model_validate(fields)
    except ValidationError as error:
        return None, problems + problems_of(KINDS[kind], error, place)
    if prior is None:
        return parameter, problems
    if unfit := parameter.prior_faults(prior):
        problems += [Problem((*place, "prior", k), m) for k, m in unfit.items()]
        return parameter, problems
    return KINDS[kind].model_validate(fields | {"prior": prior}), problems


def _prior(
    place: Location, entry: Mapping[str, Any]
) -> tuple[Prior | None, list[Problem]]:
    if "prior" not in entry:
        return None, []
    if not isinstance(entry["prior"], dict):
        message = "a mapping was expected, such as {value: 16, weight: 0.25}"
        return None, [Problem(place, message)]
    try:
        return Prior.model_validate(entry["prior"]), []
    except ValidationError as error:
        return None, problems_of(Prior, error, place)


def _kind_problem(place: Location, entry: Mapping[str, Any]) -> Problem:
    if "type" not in entry:
        return Problem(place, "`type` is missing; " + nearest("", KINDS))
    kind = entry["type"]
    return Problem(
        (*place, "type"), f"unknown type {kind!r}; {nearest(str(kind), KINDS)}"
    )


def _conditions(
    place: Location, when: Any
) -> tuple[tuple[Condition, ...], list[Problem]]:
    if not isinstance(when, dict):
        message = "a mapping was expected, such as {model.pooling: {equals: mean}}"
        return (), [Problem(place, message)]
    conditions: list[Condition] = []
    problems: list[Problem] = []
    for parameter, tests in when.items():
        if not isinstance(tests, dict) or not tests:
            message = f"a test was expected, one of: {', '.join(OPERATORS)}"
            problems.append(Problem((*place, parameter), message))
            continue
        for operator, operand in tests.items():
            read = _condition(str(parameter), operator, operand)
            if isinstance(read, Condition):
                conditions.append(read)
            else:
                problems.append(Problem((*place, parameter, operator), read))
    return tuple(conditions), problems


def _condition(parameter: str, operator: Any, operand: Any) -> Condition | str:
    if operator not in OPERATORS:
        return f"unknown test; {nearest(str(operator), OPERATORS)}"
    if operator == "in" and not (isinstance(operand, list) and operand):
        return f"a list of values was expected (found {operand!r})"
    operands = operand if operator == "in" else [operand]
    if any(isinstance(value, list | dict) for value in operands):
        return f"a single value was expected (found {operand!r})"
    if operator in {"at_least", "at_most"} and (
        isinstance(operand, bool) or not isinstance(operand, int | float)
    ):
        return f"a number was expected (found {operand!r})"
    return Condition(parameter=parameter, operator=operator, operands=tuple(operands))


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
    entries: Mapping[str, Any],
) -> list[Problem]:
    texts, fixed = data.get("constraints"), data.get("fixed")
    if not isinstance(texts, list):
        return []
    names = Names(parameters, entries, fixed if isinstance(fixed, dict) else {})
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
