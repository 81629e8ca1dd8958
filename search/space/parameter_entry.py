"""From one entry of `parameters` in a space file to a parameter, with every problem."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from search.space.conditions import OPERATORS, Condition
from search.space.parameters import KINDS, Parameter
from search.space.prior import Prior
from search.space.values import single_value
from sitenet_core.config import Problem, nearest, problems_of
from sitenet_core.config.located import Location


def read_parameter(key: Any, entry: Any) -> tuple[Parameter | None, list[Problem]]:
    """Return the parameter that `entry` declares and what is wrong with the entry.

    The parameter is None if it cannot be read; conditions and a prior that cannot are
    left out of it.
    """
    place: Location = ("parameters", key)
    if not isinstance(key, str):
        return None, [Problem(place, f"a dotted key was expected (found {key!r})")]
    if not isinstance(entry, dict):
        message = "a mapping was expected, such as {type: integer, low: 1, high: 8}"
        return None, [Problem(place, message)]
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        return None, [_kind_problem(place, entry)]
    conditions, problems = _conditions((*place, "when"), entry.get("when", {}))
    prior, unreadable = _prior((*place, "prior"), entry)
    problems += unreadable
    fields = {k: v for k, v in entry.items() if k not in {"when", "prior"}}
    fields["when"] = conditions
    try:
        parameter = KINDS[kind].model_validate(fields)
    except ValidationError as error:
        return None, problems + problems_of(KINDS[kind], error, place)
    if prior is None:
        return parameter, problems
    if faults := parameter.prior_faults(prior):
        problems += [
            Problem((*place, "prior", k), fault) for k, fault in faults.items()
        ]
        return parameter, problems
    return KINDS[kind].model_validate(fields | {"prior": prior}), problems


def _kind_problem(place: Location, entry: Mapping[str, Any]) -> Problem:
    if "type" not in entry:
        return Problem(place, "`type` is missing; " + nearest("", KINDS))
    kind = entry["type"]
    return Problem(
        (*place, "type"), f"unknown type {kind!r}; {nearest(str(kind), KINDS)}"
    )


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
            try:
                conditions.append(_condition(str(parameter), operator, operand))
            except ValueError as error:
                location = (*place, parameter, operator)
                problems.append(Problem(location, str(error)))
    return tuple(conditions), problems


def _condition(parameter: str, operator: Any, operand: Any) -> Condition:
    if operator not in OPERATORS:
        raise ValueError(f"unknown test; {nearest(str(operator), OPERATORS)}")
    if operator == "in" and not (isinstance(operand, list) and operand):
        raise ValueError(f"a list of values was expected (found {operand!r})")
    operands = operand if operator == "in" else [operand]
    for value in operands:
        single_value(value)
    if operator in {"at_least", "at_most"} and (
        isinstance(operand, bool) or not isinstance(operand, int | float)
    ):
        raise ValueError(f"a number was expected (found {operand!r})")
    return Condition(parameter=parameter, operator=operator, operands=tuple(operands))
