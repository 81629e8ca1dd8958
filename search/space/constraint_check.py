"""Checks the constraints of a space file against its parameters and each other."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.space.acceptance import DRAWS, FEWEST, measure_acceptance, percent
from search.space.constraints import Interval, parse_constraint
from search.space.parameters import ChoiceParameter, Parameter
from search.space.space import Space
from search.space.values import spoken
from sitenet_core.config import Problem, nearest


@dataclass(frozen=True)
class Names:
    """What a constraint may, and may not, name."""

    parameters: Mapping[str, Parameter]
    """Those that could be read."""
    declared: Collection[str]
    fixed: Mapping[str, Any]

    def fault(self, name: str) -> str | None:
        """Return why `name` cannot be compared, None if it can."""
        if name in self.fixed:
            return f"{name} is fixed at {self.fixed[name]}: write the number"
        if name not in self.declared:
            return f"{name} is not a parameter; {nearest(name, self.declared)}"
        parameter = self.parameters.get(name)
        if isinstance(parameter, ChoiceParameter):
            words = [v for v in parameter.values if isinstance(v, bool | str)]
            if words:
                return (
                    f"{name} can be {spoken(words[0])}, and a constraint compares "
                    "numbers; `when` makes one parameter depend on such a choice"
                )
        return None


def constraint_problems(texts: Sequence[Any], names: Names) -> list[Problem]:
    """Return what is wrong with each constraint by itself, if it is a text at all."""
    return [
        Problem(("constraints", index), fault)
        for index, text in enumerate(texts)
        if isinstance(text, str) and (fault := _fault(text, names)) is not None
    ]


def acceptance_problems(space: Space) -> list[Problem]:
    """Return that the constraints leave under 0.1 % of the space over, if they do."""
    if not space.constraints:
        return []
    found = measure_acceptance(space, enough=FEWEST)
    if found.allowed == FEWEST:
        return []
    worst = sorted(found.rejections.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"`{text}` {percent(n / found.draws)}" for text, n in worst)
    low, high = found.interval
    message = (
        f"allow {found.allowed} of {DRAWS:,} random configurations "
        f"({percent(low)} to {percent(high)} of the space, 95 % interval); at least "
        f"0.1 % is needed. Rejected by: {shares}. Loosen a constraint, or narrow the "
        "ranges to where they hold"
    )
    return [Problem(("constraints",), message)]


def known_good_problems(space: Space) -> list[Problem]:
    """Return which constraints the known-good configurations break."""
    return [
        Problem(("known_good", index), f"breaks {rule.describe_break(flat)}")
        for index, flat in enumerate(space.known_good)
        for rule in space.rules
        if not rule.holds(flat)
    ]


def _fault(text: str, names: Names) -> str | None:
    try:
        rule = parse_constraint(text)
    except ValueError as error:
        return str(error)
    for name in rule.names:
        if (fault := names.fault(name)) is not None:
            return fault
    ranges = {name: _range(names.parameters.get(name)) for name in rule.names}
    known = {name: range_ for name, range_ in ranges.items() if range_ is not None}
    if len(known) < len(ranges) or not rule.never_holds(known):
        return None
    left, right = (f"{low:g} to {high:g}" for low, high in rule.bounds(known))
    return f"never true: the left side is {left}, the right side {right}"


def _range(parameter: Parameter | None) -> Interval | None:
    """Return the least and the greatest number, None for a parameter without."""
    extremes = () if parameter is None else parameter.extremes.values()
    numbers = [float(value) for value in extremes if value is not None]
    return (min(numbers), max(numbers)) if numbers else None
