"""A problem of which a part next to the optimum fails, as memory or NaN would."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from experiments.benchmarks.search_quality.problem import Curve, FloatArray, Problem
from search.space import FlatConfiguration, Space
from search.space.parameters import ChoiceParameter, FloatParameter, Parameter
from search.space.values import Value

N_RANDOM = 1500
N_STEPS = 500
"""Configurations tried for the optimum: at random, then around the best so far."""
_N_DIRECTIONS = 1000
_N_VOLUME = 8000
_SEED = 20261121


@dataclass(frozen=True)
class HalfSpace:
    """All points beyond a plane, in unit coordinates."""

    normal: FloatArray
    """(n_parameters,), length one."""
    offset: float

    def holds(self, point: FloatArray) -> bool:
        """Return whether `point` lies beyond the plane."""
        return float(point @ self.normal) > self.offset


@dataclass(frozen=True)
class FailingRegion:
    """`problem`, of whose space the share `share` fails in the first epoch.

    The region is a half-space in unit coordinates with exactly that share of the
    volume. Among random directions it is the one whose plane passes closest to the
    best configuration that is known, which itself does not fail.
    """

    problem: Problem
    share: float
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.problem.name)

    @property
    def space(self) -> Space:
        """That of the problem."""
        return self.problem.space

    @property
    def epochs(self) -> int:
        """Those of the problem."""
        return self.problem.epochs

    @cached_property
    def region(self) -> HalfSpace:
        """Where it fails."""
        return _region(self.problem, self.share)

    def curve(self, flat: FlatConfiguration) -> Curve:
        """Return the problem's curve, which breaks in the region."""
        curve = self.problem.curve(flat)
        fails = self.region.holds(units(self.space, flat))
        return replace(curve, fails=fails)

    def regret(self, value: float) -> float:
        """Return the problem's regret."""
        return self.problem.regret(value)


@lru_cache(maxsize=64)
def _region(problem: Problem, share: float) -> HalfSpace:
    return half_space_beside(best_point(problem), share)


def half_space_beside(point: FloatArray, share: float) -> HalfSpace:
    """Return the half-space with `share` of the unit cube whose plane is by `point`.

    Args:
        point: (n_parameters,) in [0, 1], which stays outside.
        share: of the volume, between 0 and 1.
    """
    generator = np.random.default_rng(_SEED)
    cube = generator.random((_N_VOLUME, len(point)))
    directions = generator.normal(size=(_N_DIRECTIONS, len(point)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    best: tuple[float, HalfSpace] | None = None
    for normal in directions:
        offset = float(np.quantile(cube @ normal, 1 - share))
        distance = offset - float(point @ normal)
        if distance >= 0 and (best is None or distance < best[0]):
            best = distance, HalfSpace(normal, offset)
    if best is None:
        raise ValueError(f"no half-space with {share=} leaves out {point}")
    return best[1]


def best_point(problem: Problem) -> FloatArray:
    """Return the unit coordinates of a very good configuration of `problem`.

    The best of random ones, improved by random steps that grow smaller.
    """
    generator = np.random.default_rng(_SEED)
    n_parameters = len(problem.space.parameters)
    points = generator.random((N_RANDOM, n_parameters))
    values = [_value(problem, point) for point in points]
    best, lowest = points[int(np.argmin(values))], min(values)
    for width in np.geomspace(0.2, 0.01, N_STEPS):
        step = generator.normal(scale=width, size=n_parameters)
        point = np.clip(best + step, 0, np.nextafter(1, 0))
        value = _value(problem, point)
        if value < lowest:
            best, lowest = point, value
    return np.asarray(best, np.float64)


def units(space: Space, flat: Mapping[str, Value]) -> FloatArray:
    """Return the unit coordinates of a configuration: (n_parameters,) in [0, 1]."""
    return np.array([_unit(p, flat[name]) for name, p in space.parameters.items()])


def _value(problem: Problem, point: FloatArray) -> float:
    return float(problem.curve(problem.space.from_units(point.tolist())).values.min())


def _unit(parameter: Parameter, value: Value) -> float:
    raw = parameter.to_raw(value)
    if isinstance(parameter, ChoiceParameter):
        return (raw + 0.5) / parameter.size
    if not isinstance(parameter, FloatParameter):
        return (raw - parameter.low + 0.5) / parameter.size
    low, high = parameter.low, parameter.high
    if parameter.log:
        low, high, raw = (float(np.log(x)) for x in (low, high, raw))
    return (raw - low) / (high - low)
