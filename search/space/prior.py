"""Where the good values of a parameter are believed to lie.

A prior moves random draws towards a value and never rules another one out: it is a
mixture with the uniform density (Souza et al., *Bayesian optimization with a prior for
the optimum*, ECML PKDD 2021, arXiv:2006.14608, discuss why a wrong belief must be
survivable).
"""

import math
from typing import Annotated

from pydantic import BeforeValidator, Strict, field_validator

from search.space.values import Value, single_value, spoken
from sitenet_core.config import StrictModel

DEFAULT_SPREAD = 0.1
"""Standard deviation without a `spread`, as a share of the range."""


def _one_or_several(value: object) -> object:
    """Check the value, or each of a list."""
    if not isinstance(value, list | tuple):
        return single_value(value)
    if not value:
        raise ValueError("the list is empty; name the values that are believed good")
    return tuple(single_value(one) for one in value)


class Prior(StrictModel):
    """The `prior` of a parameter: a value, how far to trust it, and how much."""

    value: Annotated[Value | tuple[Value, ...], BeforeValidator(_one_or_several)]
    """The believed value; of a choice also a list of them, equally likely."""
    spread: Annotated[float, Strict()] | None = None
    """Of a number: how far from `value` draws usually lie (one standard deviation), in
    the parameter's unit, or as a factor if its range is logarithmic. None is a tenth of
    the range."""
    weight: Annotated[float, Strict()] = 0.25
    """Share of the draws that follow the prior; the others are uniform."""

    @field_validator("weight")
    @classmethod
    def _leaves_the_rest_possible(cls, weight: float) -> float:
        if not 0 < weight < 1:
            raise ValueError(
                f"the weight of a prior lies between 0 and 1, both left out, such as "
                f"0.25: {weight:g} would leave "
                + ("no other value possible" if weight > 0 else "nothing of the prior")
            )
        return weight

    @property
    def values(self) -> tuple[Value, ...]:
        """The believed value, or all of them."""
        return self.value if isinstance(self.value, tuple) else (self.value,)

    def deviation(self, low: float, high: float, *, log: bool) -> float:
        """Return the standard deviation in units of the range from `low` to `high`."""
        if self.spread is None:
            return DEFAULT_SPREAD
        if log:
            return math.log(self.spread) / (math.log(high) - math.log(low))
        return self.spread / (high - low)

    def spread_fault(self, low: float, high: float, *, log: bool) -> str | None:
        """Return what is wrong with `spread` on the range from `low` to `high`."""
        if self.spread is None:
            return None
        if log and not 1 < self.spread <= high / low:
            return (
                "on a logarithmic range the spread is a factor above 1 and at most "
                f"high / low = {high / low:g}, such as 3 (found {self.spread:g})"
            )
        if not log and not 0 < self.spread <= high - low:
            return (
                "the spread lies above 0 and is at most high - low = "
                f"{high - low:g} (found {self.spread:g})"
            )
        return None

    def describe(self) -> str:
        """Return the prior in words."""
        value = " or ".join(spoken(value) for value in self.values)
        spread = "" if self.spread is None else f", spread {self.spread:g}"
        return f"{value}{spread}, weight {self.weight:g}"
