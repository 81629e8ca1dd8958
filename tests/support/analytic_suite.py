"""A suite of analytic learning curves, in place of a surrogate that needs a package."""

from dataclasses import dataclass, field

import numpy as np
from support.simulated_study import square

from experiments.benchmarks.search_quality.problem import Curve
from search.space import FlatConfiguration, Space

EPOCHS = 9
_CENTRES = {"left": (0.2, 0.6), "right": (0.8, 0.5), "old": (0.3, 0.6)}


@dataclass(frozen=True)
class Bowl:
    """A bowl whose curves fall with the epochs; a large y costs time."""

    name: str = "left"
    epochs: int = EPOCHS
    space: Space = field(default_factory=square, compare=False)

    def curve(self, flat: FlatConfiguration) -> Curve:
        """Return depth + 1/epoch."""
        x, y = float(flat["x"] or 0), float(flat["y"] or 0)
        centre = _CENTRES[self.name]
        depth = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        steps = np.arange(1, self.epochs + 1)
        return Curve(depth + 1 / steps, np.full(self.epochs, 0.5 + y))

    def regret(self, value: float) -> float:
        """Return the depth."""
        return value - 1 / self.epochs


@dataclass(frozen=True)
class Bowls:
    """Two tasks, and one that earlier studies were about."""

    tasks: tuple[str, ...] = ("left", "right")
    others: tuple[str, ...] = ("old",)
    space: Space = field(default_factory=square, compare=False)

    def problem(self, task: str) -> Bowl:
        """Return one bowl."""
        return Bowl(task)
