"""When a parameter is active: conditions on the values of other parameters."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Literal, get_args

from search.space.values import Value, spoken
from sitenet_core.config import StrictModel

Operator = Literal["equals", "in", "at_least", "at_most"]
OPERATORS: tuple[str, ...] = get_args(Operator)


def same(left: Value, right: Value) -> bool:
    """Return whether two values are equal and of one kind: `true` is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and left == right


class Condition(StrictModel):
    """One test on one other parameter; an inactive parameter passes no test."""

    parameter: str
    """Dotted key of the parameter that decides."""
    operator: Operator
    operands: tuple[Value, ...]
    """The values to compare with; a single one except for `in`."""

    def holds(self, value: Value) -> bool:
        """Return whether `value` of the deciding parameter passes the test."""
        if self.operator in {"equals", "in"}:
            return any(same(value, operand) for operand in self.operands)
        (bound,) = self.operands
        if not isinstance(value, int | float) or not isinstance(bound, int | float):
            return False
        return value >= bound if self.operator == "at_least" else value <= bound

    def describe(self) -> str:
        """Return the condition as a person would write it."""
        words = ", ".join(spoken(operand) for operand in self.operands)
        return f"{self.parameter} {self.operator.replace('_', ' ')} {words}"


def evaluation_order(parents: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return the keys of `parents` so that each comes after those that decide on it.

    Args:
        parents: parameter → parameters that its conditions name.

    Raises:
        ValueError: if parameters decide on each other in a circle, which it names.
    """
    try:
        order = TopologicalSorter(parents).static_order()
        return tuple(name for name in order if name in parents)
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise ValueError(f"conditions go round in a circle: {circle}") from error
