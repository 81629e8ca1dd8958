"""What a benchmark of searches minimises: learning curves over a space."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from search.space import FlatConfiguration, Space

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What training one configuration gives."""

    values: FloatArray
    """(epochs,) objective after each epoch, to be minimised."""
    seconds: FloatArray
    """(epochs,) duration of each epoch, positive."""
    fails: bool = False
    """Whether the training breaks in its first epoch, so that no value is ever seen."""


class Problem(Protocol):
    """One task: a space and the curve of each of its configurations."""

    @property
    def name(self) -> str:
        """Short, for files and tables."""
        ...

    @property
    def space(self) -> Space:
        """What may be proposed."""
        ...

    @property
    def epochs(self) -> int:
        """Length of a full training."""
        ...

    def curve(self, flat: FlatConfiguration) -> Curve:
        """Return what training `flat` gives; equal arguments give equal curves."""
        ...

    def regret(self, value: float) -> float:
        """Return `value` on a scale where 0 is the best known and 1 the median."""
        ...

    def __hash__(self) -> int:
        """Equal problems have equal curves, so that work on one can be kept."""
        ...


class Suite(Protocol):
    """A set of tasks over one space."""

    @property
    def space(self) -> Space:
        """The same for every task."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the table."""
        ...

    @property
    def others(self) -> tuple[str, ...]:
        """Tasks that earlier studies were about."""
        ...

    def problem(self, task: str) -> Problem:
        """Return the task called `task`."""
        ...
