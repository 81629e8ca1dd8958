"""What counts as tried already."""

from collections.abc import Iterable
from dataclasses import dataclass

from search.space.conditions import same
from search.space.parameters import FloatParameter
from search.space.space import Space
from search.space.values import FlatConfiguration, Value

NEAR = 1e-3
"""Share of a continuous range within which two values train the same network."""


@dataclass(frozen=True)
class Neighbourhood:
    """The configurations that differ from one in nothing that matters.

    Discrete values are equal; continuous ones differ by at most `NEAR` of the range.
    """

    exact: tuple[tuple[str, Value], ...]
    within: tuple[tuple[str, float, float], ...]
    """(parameter, lowest, highest value)."""

    @classmethod
    def of(cls, space: Space, flat: FlatConfiguration) -> "Neighbourhood":
        """Return the neighbourhood of `flat`."""
        exact: list[tuple[str, Value]] = []
        within: list[tuple[str, float, float]] = []
        for name, parameter in space.parameters.items():
            value = flat[name]
            if value is None or not isinstance(parameter, FloatParameter):
                exact.append((name, value))
                continue
            unit = parameter.to_unit(value)
            low, high = max(unit - NEAR, 0.0), min(unit + NEAR, 1.0)
            bounds = parameter.from_unit(low), parameter.from_unit(high)
            within.append((name, *bounds))
        return cls(tuple(exact), tuple(within))

    def holds(self, flat: FlatConfiguration) -> bool:
        """Return whether `flat` lies in it."""
        return all(same(flat[name], value) for name, value in self.exact) and all(
            low <= value <= high
            for name, low, high in self.within
            if isinstance(value := flat[name], int | float)
        )

    def meets(self, flats: Iterable[FlatConfiguration]) -> bool:
        """Return whether any of `flats` lies in it."""
        return any(self.holds(flat) for flat in flats)
