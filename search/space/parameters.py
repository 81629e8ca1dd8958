"""The kinds of parameter a space may hold: small values that check themselves.

Each kind has two coordinates besides its value. The *unit* coordinate in [0, 1) is the
place in the range; draws of it have the `density`, uniform without a prior. The *raw*
coordinate is what a model of the space works on: the value for a float, the value
within its cell of width one for an integer, the index for a choice. Both are cast to
the declared type in one place, here.
"""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, ValidationInfo, field_validator, model_validator

from search.space.conditions import Condition, same
from search.space.density import UNIFORM, UnitDensity, among, around
from search.space.prior import Prior
from search.space.values import DeclaredValue, Value, spoken
from sitenet_core.config import StrictModel

StrictInteger = Annotated[int, Strict()]
StrictNumber = Annotated[float, Strict()]

_MAX_INTEGER = 2**53
"""Floats, which whole numbers are drawn from, are exact up to here."""


def _above(low: float, high: float) -> None:
    if low > high:
        raise ValueError(
            f"bounds are reversed: low {low} is above high {high}; exchange them"
        )
    if low == high:
        raise ValueError(
            f"low and high are both {low}: move this key to `fixed`, or widen the range"
        )


class _Parameter(StrictModel, ABC):
    """What the three kinds share."""

    when: tuple[Condition, ...] = ()
    """All must hold, or the parameter is inactive."""
    prior: Prior | None = None
    """Where the good values are believed to lie; None: all are equally likely."""

    @cached_property
    def density(self) -> UnitDensity:
        """How likely each unit coordinate is drawn."""
        return UNIFORM if self.prior is None else self._density(self.prior)

    @model_validator(mode="after")
    def _prior_fits(self) -> Self:
        faults = {} if self.prior is None else self.prior_faults(self.prior)
        if faults:
            raise ValueError("; ".join(f"prior {k}: {v}" for k, v in faults.items()))
        return self

    @abstractmethod
    def from_unit(self, unit: float) -> Value:
        """Return the value at `unit` in [0, 1)."""

    @abstractmethod
    def prior_faults(self, prior: Prior) -> dict[str, str]:
        """Return what is wrong with `prior` here, by its key; empty if it fits."""

    @abstractmethod
    def _density(self, prior: Prior) -> UnitDensity: ...


class IntegerParameter(_Parameter):
    """Whole numbers from `low` to `high`, both included."""

    type: Literal["integer"]
    low: StrictInteger
    high: StrictInteger

    @field_validator("low", "high")
    @classmethod
    def _exact(cls, bound: int) -> int:
        if abs(bound) > _MAX_INTEGER:
            raise ValueError("whole numbers lie within ± 2^53")
        return bound

    @field_validator("high")
    @classmethod
    def _ordered(cls, high: int, info: ValidationInfo) -> int:
        if "low" in info.data:
            _above(info.data["low"], high)
        return high

    def from_unit(self, unit: float) -> int:
        """Return the value at `unit` in [0, 1)."""
        return min(self.low + math.floor(unit * self.size), self.high)

    def to_unit(self, value: Value) -> float:
        """Return the middle of the units of `value`."""
        return (_number(value) - self.low + 0.5) / self.size

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

    def prior_faults(self, prior: Prior) -> dict[str, str]:
        """Return what is wrong with `prior` here, by its key; empty if it fits."""
        return _range_faults(self, prior, log=False)

    def _density(self, prior: Prior) -> UnitDensity:
        deviation = prior.deviation(0, self.size, log=False)
        (value,) = prior.values
        return around(self.to_unit(value), deviation, prior.weight, self.size)


class FloatParameter(_Parameter):
    """Numbers from `low` to `high`, along the value or its logarithm."""

    type: Literal["float"]
    log: bool = False
    low: StrictNumber
    high: StrictNumber

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
        low = info.data.get("low")
        if low is not None:
            _above(low, high)
            if not math.isfinite(high - low):
                raise ValueError(f"the range from {low} to {high} is too wide")
        return high

    def from_unit(self, unit: float) -> float:
        """Return the value at `unit` in [0, 1)."""
        if not self.log:
            return self.from_raw(self.low + unit * (self.high - self.low))
        low, high = math.log(self.low), math.log(self.high)
        return self.from_raw(math.exp(low + unit * (high - low)))

    def to_unit(self, value: Value) -> float:
        """Return the place of `value` in the range, in [0, 1]."""
        number, low, high = _number(value), self.low, self.high
        if self.log:
            number, low, high = math.log(number), math.log(low), math.log(high)
        return (number - low) / (high - low)

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

    def prior_faults(self, prior: Prior) -> dict[str, str]:
        """Return what is wrong with `prior` here, by its key; empty if it fits."""
        return _range_faults(self, prior, log=self.log)

    def _density(self, prior: Prior) -> UnitDensity:
        deviation = prior.deviation(self.low, self.high, log=self.log)
        (value,) = prior.values
        return around(self.to_unit(value), deviation, prior.weight)


class ChoiceParameter(_Parameter):
    """One of the listed values; null may be one of them."""

    type: Literal["choice"]
    values: tuple[DeclaredValue, ...]

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

    def to_unit(self, value: Value) -> float:
        """Return the middle of the units of `value`."""
        return (self.to_raw(value) + 0.5) / self.size

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

    def prior_faults(self, prior: Prior) -> dict[str, str]:
        """Return what is wrong with `prior` here, by its key; empty if it fits."""
        faults = {}
        if prior.spread is not None:
            faults["spread"] = "a choice has no spread; leave it out"
        wrong = [fault for v in prior.values if (fault := self.fault(v)) is not None]
        if wrong:
            faults["value"] = wrong[0]
        return faults

    def _density(self, prior: Prior) -> UnitDensity:
        picked = sorted({self.to_raw(value) for value in prior.values})
        return among(picked, self.size, prior.weight)


Parameter = Annotated[
    IntegerParameter | FloatParameter | ChoiceParameter, Field(discriminator="type")
]
KINDS: dict[str, type[IntegerParameter | FloatParameter | ChoiceParameter]] = {
    "integer": IntegerParameter,
    "float": FloatParameter,
    "choice": ChoiceParameter,
}


def _range_faults(
    parameter: IntegerParameter | FloatParameter, prior: Prior, *, log: bool
) -> dict[str, str]:
    faults = {}
    if isinstance(prior.value, tuple):
        faults["value"] = "one value was expected; only a choice takes several"
    elif (fault := parameter.fault(prior.value)) is not None:
        faults["value"] = fault
    fault = prior.spread_fault(parameter.low, parameter.high, log=log)
    if fault is not None:
        faults["spread"] = fault
    return faults


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number was expected (found {value!r})")
    return value


def _listed(values: tuple[Value, ...]) -> str:
    return ", ".join(spoken(value) for value in values)
