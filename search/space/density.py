"""How likely the places of one parameter's range are, in its unit coordinate.

A density is a histogram over [0, 1): what is drawn and what is reported agree exactly,
and both are a look-up. The cells of a whole number or of a choice are bins of their
own; along a continuous range the bins are fine where the density is curved.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_BELOW_ONE = float(np.nextafter(1, 0))
_MAX_CELLS = 4096
"""A whole number with more values than this has the bins of a continuous range."""


@dataclass(frozen=True, eq=False)
class UnitDensity:
    """A density over the unit coordinate, constant between neighbouring knots."""

    knots: Floats
    """(n_bins + 1,) rising from 0 to 1."""
    cumulated: Floats
    """(n_bins + 1,) probability below each knot, rising strictly from 0 to 1."""

    def at(self, units: ArrayLike) -> Floats:
        """Return the density at `units` in [0, 1], in their shape; 1 is uniform."""
        bins = np.searchsorted(self.knots, units, side="right") - 1
        return self._heights[np.clip(bins, 0, len(self._heights) - 1)]

    def log_at(self, units: ArrayLike) -> Floats:
        """Return the natural logarithm of the density at `units`, in their shape."""
        return np.log(self.at(units))

    def below(self, units: ArrayLike) -> Floats:
        """Return the probability of a unit coordinate below `units`."""
        return _look_up(units, self.knots, self.cumulated)

    def quantile(self, shares: ArrayLike) -> Floats:
        """Return the unit coordinates in [0, 1) that `shares` in [0, 1) lie below.

        The inverse of `below`: uniform `shares` become draws from the density.
        """
        return np.minimum(_look_up(shares, self.cumulated, self.knots), _BELOW_ONE)

    @cached_property
    def _heights(self) -> Floats:
        return np.diff(self.cumulated) / np.diff(self.knots)


UNIFORM = UnitDensity(np.array([0.0, 1.0]), np.array([0.0, 1.0]))


def around(
    centre: float, deviation: float, weight: float, n_cells: int | None = None
) -> UnitDensity:
    """Return `weight` of a normal density cut at the ends, and for the rest uniform.

    Args:
        centre: its middle, in [0, 1].
        deviation: its standard deviation before it is cut.
        weight: its share, in (0, 1).
        n_cells: number of values of a whole number; None for a continuous range.
    """
    if n_cells is not None and n_cells <= _MAX_CELLS:
        knots = np.arange(n_cells + 1) / n_cells
    else:
        curved = centre + deviation * np.linspace(-8, 8, 513)
        knots = np.union1d(np.linspace(0, 1, 129), curved[(curved > 0) & (curved < 1)])
    scale = deviation * math.sqrt(2)
    normal = np.array([math.erf((knot - centre) / scale) for knot in knots.tolist()])
    inside = (normal - normal[0]) / (normal[-1] - normal[0])
    return UnitDensity(knots, weight * inside + (1 - weight) * knots)


def among(picked: Sequence[int], n_cells: int, weight: float) -> UnitDensity:
    """Return `weight` shared by the `picked` ones of `n_cells`, for the rest uniform.

    Args:
        picked: indices of cells.
        n_cells: number of cells.
        weight: their share, in (0, 1), on top of what the uniform part gives them.
    """
    shares = np.full(n_cells, (1 - weight) / n_cells)
    shares[list(picked)] += weight / len(picked)
    cumulated = np.concatenate([[0.0], np.cumsum(shares)])
    return UnitDensity(np.arange(n_cells + 1) / n_cells, cumulated / cumulated[-1])


def _look_up(places: ArrayLike, knots: Floats, values: Floats) -> Floats:
    return np.asarray(np.interp(np.asarray(places, float), knots, values))
