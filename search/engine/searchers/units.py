"""A space as vectors: one coordinate in [0, 1) per parameter, all rows at once.

The coordinate is the *unit* one of `search.space.parameters`; a discrete value stands
at the middle of its cell. A parameter that is inactive has the coordinate ½, so that
two trials without it do not differ in it. `UnitSpace.features` are the coordinates as
a model of distances wants them: a number stays, a choice becomes one column per value,
such that two different values are at distance 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search.space.conditions import Condition
from search.space.parameters import ChoiceParameter, IntegerParameter, Parameter
from search.space.space import Space
from search.space.values import FlatConfiguration, Value

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_INACTIVE = 0.5
_BELOW_ONE = float(np.nextafter(1, 0))


@dataclass(frozen=True)
class UnitSpace:
    """Coordinates of `space`; columns are its parameters in declared order."""

    space: Space

    def encode(self, flats: Sequence[FlatConfiguration]) -> FloatArray:
        """Return the coordinates of `flats`, (n_flats, n_parameters)."""
        units = np.empty((len(flats), len(self._parameters)))
        for column, (name, parameter) in enumerate(self.space.parameters.items()):
            units[:, column] = _encoded(parameter, [flat[name] for flat in flats])
        return self._masked(np.clip(units, 0, _BELOW_ONE))

    def snap(self, units: FloatArray) -> FloatArray:
        """Return `units` at the middle of their cells, ½ where inactive.

        Args:
            units: (n, n_parameters) anywhere; what lies outside [0, 1) is reflected
                once and then cut.
        """
        inside = np.abs(units)
        inside = np.where(inside > 1, 2 - inside, inside)
        inside = np.clip(inside, 0, _BELOW_ONE)
        sizes = self.sizes
        cells = np.minimum(np.floor(inside * sizes), sizes - 1)
        snapped = np.where(self.discrete, (cells + 0.5) / sizes, inside)
        return self._masked(snapped)

    def drawn(self, shares: FloatArray) -> FloatArray:
        """Return the coordinates that uniform `shares` in [0, 1) draw from priors."""
        return self.snap(self.space.drawn_units(shares))

    def log_prior(self, units: FloatArray) -> FloatArray:
        """Return the logarithm of how likely `units` are drawn, (n,); 0 if uniform."""
        total = np.zeros(len(units))
        if self._believed:
            active = self.active(units)
            for column, parameter in self._believed:
                logs = parameter.density.log_at(units[:, column])
                total += np.where(active[:, column], logs, 0)
        return total

    def decode(self, units: FloatArray) -> dict[str, Value]:
        """Return the flat configuration at one row of coordinates."""
        return self.space.from_units(units.tolist())

    def features(self, units: FloatArray) -> FloatArray:
        """Return (n, n_features); `owners` says which parameter each column is of."""
        columns = []
        for index, parameter in enumerate(self._parameters):
            values = units[:, index]
            if isinstance(parameter, ChoiceParameter):
                cells = np.floor(values * parameter.size)
                hot = cells[:, None] == np.arange(parameter.size)
                columns.append(hot * math.sqrt(0.5))
            else:
                columns.append(values[:, None])
        return np.concatenate(columns, axis=1)

    @cached_property
    def owners(self) -> npt.NDArray[np.intp]:
        """(n_features,) column of the coordinates that each feature is made of."""
        counts = [
            p.size if isinstance(p, ChoiceParameter) else 1 for p in self._parameters
        ]
        return np.repeat(np.arange(len(counts)), counts)

    @cached_property
    def sizes(self) -> FloatArray:
        """(n_parameters,) number of values, 1 for a continuous parameter."""
        return np.array([p.size or 1 for p in self._parameters], dtype=np.float64)

    @cached_property
    def discrete(self) -> BoolArray:
        """(n_parameters,) whether the parameter has a number of values."""
        return np.array([p.size is not None for p in self._parameters])

    @cached_property
    def unordered(self) -> BoolArray:
        """(n_parameters,) whether the parameter is a choice."""
        return np.array([isinstance(p, ChoiceParameter) for p in self._parameters])

    @cached_property
    def _parameters(self) -> tuple[Parameter, ...]:
        return tuple(self.space.parameters.values())

    @cached_property
    def _believed(self) -> tuple[tuple[int, Parameter], ...]:
        """Column and parameter of those with a prior."""
        pairs = enumerate(self._parameters)
        return tuple((index, p) for index, p in pairs if p.prior is not None)

    @cached_property
    def _conditional(self) -> tuple[tuple[int, tuple[tuple[int, Condition], ...]], ...]:
        """Column and conditions of each conditional parameter, deciders first."""
        columns = {name: index for index, name in enumerate(self.space.parameters)}
        return tuple(
            (columns[name], tuple((columns[c.parameter], c) for c in conditions))
            for name in self.space.order
            if (conditions := self.space.parameters[name].when)
        )

    def active(self, units: FloatArray) -> BoolArray:
        """Return (n, n_parameters): whether each parameter is active in each row."""
        live = np.ones(units.shape, dtype=bool)
        for column, conditions in self._conditional:
            for decider, condition in conditions:
                holds = self._holds(units[:, decider], decider, condition)
                live[:, column] &= live[:, decider] & holds
        return live

    def _masked(self, units: FloatArray) -> FloatArray:
        if not self._conditional:
            return units
        return np.where(self.active(units), units, _INACTIVE)

    def _holds(
        self, units: FloatArray, decider: int, condition: Condition
    ) -> BoolArray:
        parameter = self._parameters[decider]
        size = parameter.size
        if size is not None and size <= len(units):
            middles = (np.arange(size) + 0.5) / size
            table = np.array([condition.holds(parameter.from_unit(m)) for m in middles])
            cells = np.minimum(np.floor(units * size), size - 1).astype(np.intp)
            return np.asarray(table[cells])
        held = [condition.holds(parameter.from_unit(unit)) for unit in units]
        return np.array(held, dtype=bool)


def _encoded(parameter: Parameter, values: Sequence[Value]) -> FloatArray:
    """Return the coordinates of many values at once, nan or any for an inactive one."""
    if isinstance(parameter, ChoiceParameter):
        table = {
            (isinstance(v, bool), v): parameter.to_unit(v) for v in parameter.values
        }
        found = [
            table.get((isinstance(value, bool), value), _INACTIVE) for value in values
        ]
        return np.array(found, dtype=np.float64)
    numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    if isinstance(parameter, IntegerParameter):
        return np.asarray((numbers - parameter.low + 0.5) / parameter.size)
    low, high = parameter.low, parameter.high
    if parameter.log:
        return np.asarray(np.log(numbers / low) / math.log(high / low))
    return np.asarray((numbers - low) / (high - low))
