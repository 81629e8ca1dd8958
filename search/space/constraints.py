"""Constraints of a space: comparisons of sums and products of its parameters.

    constraint = sum, ("<=" | "<" | ">=" | ">" | "==" | "!="), sum
    sum        = product, {("+" | "-"), product}
    product    = factor, {"*", factor}
    factor     = "-", factor | number | dotted parameter | "(", sum, ")"

Nothing is executed: a text is read into a list of operations in postfix order, which a
loop works off, over numbers or over intervals.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from search.space.values import FlatConfiguration

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
EXAMPLE = "model.attention_heads * model.site_dim_per_head <= 256"

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    |(?P<comparison><=|>=|==|!=|<|>)
    |(?P<sign>[-+*()])
    )""",
    re.VERBOSE | re.ASCII,
)
_HINTS = {
    "/": "multiply the other side instead",
    "=": "write == or <=",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
    "×": "write *",
    "·": "write *",
    "&": "write two constraints",
}
_RANKS = {"(": 0, "+": 1, "-": 1, "*": 2, "negate": 3}

T = TypeVar("T")
Interval = tuple[float, float]


@dataclass(frozen=True)
class Token:
    """A word of a constraint."""

    kind: str
    """`number`, `name`, `comparison`, `sign`, or, in postfix order, `operation`."""
    text: str


Sum = tuple[Token, ...]
"""One side of a constraint in postfix order: numbers, names, operations."""


@dataclass(frozen=True)
class Constraint:
    """One comparison that a configuration satisfies or not."""

    text: str
    """As the file has it."""
    left: Sum
    comparison: str
    right: Sum

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters that are compared, each once."""
        tokens = (*self.left, *self.right)
        return tuple(dict.fromkeys(t.text for t in tokens if t.kind == "name"))

    def holds(self, flat: FlatConfiguration) -> bool:
        """Return whether `flat` satisfies it; with an inactive parameter it does."""
        sides = self.sides(flat)
        return sides is None or COMPARISONS[self.comparison](*sides)

    def sides(self, flat: FlatConfiguration) -> tuple[float, float] | None:
        """Return both sides in numbers; None where a parameter is inactive or null."""
        values: dict[str, float] = {}
        for name in self.names:
            value = flat.get(name)
            if value is None:
                return None
            values[name] = float(value)
        left = _worked_off(self.left, values, float, _NUMBERS)
        right = _worked_off(self.right, values, float, _NUMBERS)
        return left, right

    def bounds(self, ranges: Mapping[str, Interval]) -> tuple[Interval, Interval]:
        """Return an interval around each side for parameters within `ranges`."""
        left = _worked_off(self.left, ranges, _point, _INTERVALS)
        right = _worked_off(self.right, ranges, _point, _INTERVALS)
        return left, right

    def never_holds(self, ranges: Mapping[str, Interval]) -> bool:
        """Return whether it is certain that nothing within `ranges` satisfies it."""
        low, high = _subtracted(*self.bounds(ranges))
        return _IMPOSSIBLE[self.comparison](low, high)

    def describe_break(self, flat: FlatConfiguration) -> str:
        """Return it with the numbers of `flat` put in, which break it."""
        left, right = self.sides(flat) or (math.nan, math.nan)
        return f"`{self.text}`: {left:g} {self.comparison} {right:g} is not true"


def parse_constraint(text: str) -> Constraint:
    """Return the constraint that `text` states.

    Raises:
        ValueError: if it is none; the message says where and what to write instead.
    """
    tokens = list(_tokens(text))
    places = [i for i, token in enumerate(tokens) if token.kind == "comparison"]
    if not places:
        raise ValueError(f"a comparison was expected, such as `{EXAMPLE}`")
    if len(places) > 1:
        raise ValueError("one comparison was expected; write a constraint for each")
    (place,) = places
    left, right = _postfix(tokens[:place]), _postfix(tokens[place + 1 :])
    constraint = Constraint(text, left, tokens[place].text, right)
    if not constraint.names:
        raise ValueError(f"names no parameter; write it such as `{EXAMPLE}`")
    return constraint


def _tokens(text: str) -> Iterator[Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            found = text[place:].lstrip()
            hint = _HINTS.get(found[0], "allowed: parameters, numbers, + - * ( )")
            raise ValueError(f"cannot be read from `{_short(found)}` on; {hint}")
        kind = match.lastgroup or ""
        word = match[kind]
        if kind == "number" and not math.isfinite(float(word)):
            raise ValueError(f"the number {_short(word)} is too large")
        yield Token(kind, word)
        place = match.end()


def _postfix(tokens: list[Token]) -> Sum:
    """Return one side with operations after their operands (shunting-yard)."""
    done: list[Token] = []
    waiting: list[str] = []
    operand_next = True
    for token in tokens:
        if operand_next:
            operand_next = _take_operand(token, done, waiting)
        elif token.text == ")":
            while waiting and waiting[-1] != "(":
                done.append(Token("operation", waiting.pop()))
            if not waiting:
                raise ValueError("a parenthesis is closed that was never opened")
            waiting.pop()
        elif token.text in {"+", "-", "*"}:
            while waiting and _RANKS[waiting[-1]] >= _RANKS[token.text]:
                done.append(Token("operation", waiting.pop()))
            waiting.append(token.text)
            operand_next = True
        else:
            raise ValueError(f"+, - or * is missing before `{_short(token.text)}`")
    if operand_next:
        after = f" after `{_short(tokens[-1].text)}`" if tokens else ""
        raise ValueError(f"a parameter or a number is missing{after}")
    if "(" in waiting:
        raise ValueError("a parenthesis is not closed")
    return (*done, *(Token("operation", sign) for sign in reversed(waiting)))


def _take_operand(token: Token, done: list[Token], waiting: list[str]) -> bool:
    """Take a token where an operand begins; return whether it is still to come."""
    if token.kind in {"number", "name"}:
        done.append(token)
        return False
    if token.text not in {"-", "("}:
        raise ValueError(f"a parameter or a number is missing before `{token.text}`")
    waiting.append("negate" if token.text == "-" else "(")
    return True


def _worked_off(
    side: Sum,
    values: Mapping[str, T],
    number: Callable[[str], T],
    operations: Mapping[str, Callable[[T, T], T]],
) -> T:
    """Return the value of one side, in numbers or in intervals."""
    stack: list[T] = []
    for token in side:
        if token.kind == "number":
            stack.append(number(token.text))
        elif token.kind == "name":
            stack.append(values[token.text])
        elif token.text == "negate":
            stack.append(operations["-"](number("0"), stack.pop()))
        else:
            right = stack.pop()
            stack.append(operations[token.text](stack.pop(), right))
    (result,) = stack
    return result


def _point(text: str) -> Interval:
    return float(text), float(text)


def _added(left: Interval, right: Interval) -> Interval:
    return _bounded(left[0] + right[0], left[1] + right[1])


def _subtracted(left: Interval, right: Interval) -> Interval:
    return _bounded(left[0] - right[1], left[1] - right[0])


def _multiplied(left: Interval, right: Interval) -> Interval:
    corners = [a * b for a in left for b in right]
    if not all(map(math.isfinite, corners)):
        return _bounded(-math.inf, math.inf)
    return min(corners), max(corners)


def _bounded(low: float, high: float) -> Interval:
    """Return the interval, or every number where it overflowed."""
    finite = math.isfinite(low) and math.isfinite(high)
    return (low, high) if finite else (-math.inf, math.inf)


_NUMBERS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_INTERVALS: dict[str, Callable[[Interval, Interval], Interval]] = {
    "+": _added,
    "-": _subtracted,
    "*": _multiplied,
}

_IMPOSSIBLE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda low, _: low > 0,
    "<": lambda low, _: low >= 0,
    ">=": lambda _, high: high < 0,
    ">": lambda _, high: high <= 0,
    "==": lambda low, high: low > 0 or high < 0,
    "!=": lambda low, high: low == high == 0,
}
"""Whether left minus right, between low and high, is never what the sign says."""


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:24] + "…"
