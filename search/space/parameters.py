"""The kinds of parameter a space may hold: small values that check themselves.

Each kind has two coordinates besides its value. The *unit* coordinate in [0, 1) is what
random sampling draws. The *raw* coordinate is what a model of the space works on: the
value for a float, the value within its cell of width one for an integer, the index for
a choice. Both are cast to the declared type in one place, here.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, Strict, ValidationInfo, field_validator

from search.space.conditions import Condition, same
from search.space.values import Value
from sitenet_core.config import StrictModel

StrictInteger = Annotated[int, Strict()]
StrictNumber = Annotated[float, Strict()]


def _above(low: float, high: float) -> None:
    if low > high:
        raise ValueError(
            f"bounds are reversed: low {low} is above high {high}; exchange them"
        )
    if low == high:
        raise ValueError(
            f"low and high are both {low}: move this key to `fixed`, or widen the range"
        )


class IntegerParameter(StrictModel):
    """Whole numbers from `low` to `high`, both included, all equally likely."""

    type: Literal["integer"]
    low: StrictInteger
    high: StrictInteger
    when: tuple[Condition, ...] = ()

    @field_validator("high")
    @classmethod
    def _ordered(cls, high: int, info: ValidationInfo) -> int:
        if "low" in info.data:
            _above(info.data["low"], high)
        return high

    def from_unit(self, unit: float) -> int:
        """Return the value at `unit` in [0, 1)."""
        return min(self.low + math.floor(unit * self.size), self.high)

    def from_raw(self, raw: float) -> int:
        """Return the integer whose cell [value − ½, value + ½) holds `raw`."""
        return min(max(math.floor(raw + 0.5), self.low), self.high)

    def to_raw(self, value: Value) -> float:
        """Return the middle of the cell of `value`."""
        return float(_number(value))

    def fault(self, value: Value) -> str | None:
        """Return what is wrong with `value`, None if it may be proposed."""
        if isinstance(value, bool) or not isinstance(value, int):
            return f"an integer was expected (found {value!r})"
        if not self.low <= value <= self.high:
            return f"{value} lies outside {self.low} to {self.high}"
        return None

    @property
    def extremes(self) -> dict[str, Value]:
        """The values at the ends of the range, by the key that declares them."""
        return {"low": self.low, "high": self.high}

    @property
    def size(self) -> int:
        """Number of values."""
        return self.high - self.low + 1

    def describe(self) -> str:
        """Return the range in words."""
        return f"integer {self.low} to {self.high}"


class FloatParameter(StrictModel):
    """Numbers from `low` to `high`, uniform in the value or in its logarithm."""

    type: Literal["float"]
    log: bool = False
    low: StrictNumber
    high: StrictNumber
    when: tuple[Condition, ...] = ()

    @field_validator("low")
    @classmethod
    def _has_a_logarithm(cls, low: float, info: ValidationInfo) -> float:
        if info.data.get("log") and low <= 0:
            raise ValueError(
                f"a logarithmic range cannot begin at {low}: give a positive low, or "
                "leave out `log: true`"
            )
        return low

    @field_validator("high")
    @classmethod
    def _ordered(cls, high: float, info: ValidationInfo) -> float:
        if "low" in info.data:
            _above(info.data["low"], high)
        return high

    def from_unit(self, unit: float) -> float:
        """Return the value at `unit` in [0, 1)."""
        if not self.log:
            return self.from_raw(self.low + unit * (self.high - self.low))
        low, high = math.log(self.low), math.log(self.high)
        return self.from_raw(math.exp(low + unit * (high - low)))

    def from_raw(self, raw: float) -> float:
        """Return `raw` within the bounds, which rounding may have left."""
        return min(max(float(raw), self.low), self.high)

    def to_raw(self, value: Value) -> float:
        """Return `value` itself."""
        return float(_number(value))

    def fault(self, value: Value) -> str | None:
        """Return what is wrong with `value`, None if it may be proposed."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"a number was expected (found {value!r})"
        if not self.low <= value <= self.high:
            return f"{value} lies outside {self.low} to {self.high}"
        return None

    @property
    def extremes(self) -> dict[str, Value]:
        """The values at the ends of the range, by the key that declares them."""
        return {"low": self.low, "high": self.high}

    @property
    def size(self) -> None:
        """None: there is no end of values."""
        return

    def describe(self) -> str:
        """Return the range in words."""
        return f"float {self.low:g} to {self.high:g}" + ", log" * self.log


class ChoiceParameter(StrictModel):
    """One of the listed values, all equally likely; null may be one of them."""

    type: Literal["choice"]
    values: tuple[Value, ...]
    when: tuple[Condition, ...] = ()

    @field_validator("values")
    @classmethod
    def _distinct(cls, values: tuple[Value, ...]) -> tuple[Value, ...]:
        if len(values) < 2:
            raise ValueError(
                "a choice needs two values or more; move a single one to `fixed`"
            )
        for index, value in enumerate(values):
            if any(same(value, earlier) for earlier in values[:index]):
                raise ValueError(f"{value!r} is listed twice")
        return values

    def from_unit(self, unit: float) -> Value:
        """Return the value at `unit` in [0, 1)."""
        return self.from_raw(math.floor(unit * self.size))

    def from_raw(self, raw: float) -> Value:
        """Return the value at index `raw`."""
        return self.values[min(max(int(raw), 0), self.size - 1)]

    def to_raw(self, value: Value) -> int:
        """Return the index of `value`."""
        for index, candidate in enumerate(self.values):
            if same(candidate, value):
                return index
        raise ValueError(self.fault(value))

    def fault(self, value: Value) -> str | None:
        """Return what is wrong with `value`, None if it may be proposed."""
        if any(same(value, candidate) for candidate in self.values):
            return None
        return f"{value!r} is not one of {_listed(self.values)}"

    @property
    def extremes(self) -> dict[str, Value]:
        """Every value, by its place in the list."""
        return {f"values.{index}": value for index, value in enumerate(self.values)}

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.values)

    def describe(self) -> str:
        """Return the values in words."""
        return f"one of {_listed(self.values)}"


Parameter = Annotated[
    IntegerParameter | FloatParameter | ChoiceParameter, Field(discriminator="type")
]
KINDS: dict[str, type[IntegerParameter | FloatParameter | ChoiceParameter]] = {
    "integer": IntegerParameter,
    "float": FloatParameter,
    "choice": ChoiceParameter,
}


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number was expected (found {value!r})")
    return value


def _listed(values: tuple[Value, ...]) -> str:
    return ", ".join("null" if value is None else str(value) for value in values)
