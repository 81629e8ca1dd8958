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
from search.space.parameters import ChoiceParameter, FloatParameter, Parameter
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
        columns = self.space.parameters.items()
        rows = [
            [
                _INACTIVE if flat[name] is None and not _has_null(p) else unit_of(p, v)
                for name, p in columns
                for v in (flat[name],)
            ]
            for flat in flats
        ]
        units = np.array(rows, dtype=np.float64).reshape(len(flats), len(columns))
        return self._masked(units)

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


def unit_of(parameter: Parameter, value: Value) -> float:
    """Return the coordinate of `value`: the middle of its cell if there are cells."""
    raw = parameter.to_raw(value)
    if isinstance(parameter, ChoiceParameter):
        return (raw + 0.5) / parameter.size
    if not isinstance(parameter, FloatParameter):
        return (raw - parameter.low + 0.5) / parameter.size
    low, high = parameter.low, parameter.high
    if parameter.log:
        raw, low, high = math.log(raw), math.log(low), math.log(high)
    return min(max((raw - low) / (high - low), 0.0), _BELOW_ONE)


def _has_null(parameter: Parameter) -> bool:
    return isinstance(parameter, ChoiceParameter) and None in parameter.values
