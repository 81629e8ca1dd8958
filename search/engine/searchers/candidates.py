"""Where a model is asked: everywhere a little, and around the best trials."""

from dataclasses import dataclass

import numpy as np

from search.engine.searchers.units import BoolArray, FloatArray, UnitSpace

N_ANYWHERE = 100
N_AROUND = 200
N_REFINED = 100
_STEEPNESS = 0.25
"""Of the geometric law by which a better trial is varied more often."""


@dataclass(frozen=True)
class Candidates:
    """Draws rows of coordinates, snapped to the values of the space."""

    units: UnitSpace
    numbers: np.random.Generator

    def anywhere(self, n: int) -> FloatArray:
        """Return `n` points as random sampling draws them, priors respected."""
        return self.units.drawn(self.numbers.random((n, len(self.units.sizes))))

    def around(self, best: FloatArray, n: int) -> FloatArray:
        """Return variations of the rows of `best`, the first ones most often.

        Some parameters of each are moved, from one to all of them, by 1 to 40 % of
        their range; a choice that is moved is drawn anew.
        """
        picked = np.minimum(
            self.numbers.geometric(_STEEPNESS, size=n) - 1, len(best) - 1
        )
        width = 10 ** self.numbers.uniform(-2, -0.4, size=(n, 1))
        share = self.numbers.uniform(0.2, 1, size=(n, 1))
        moved = self.numbers.random((n, best.shape[1])) < share
        return self._moved(best[picked], width, moved)

    def close_to(self, best: FloatArray, n: int) -> FloatArray:
        """Return variations by 0.3 to 16 % of the range, all rows equally often."""
        picked = self.numbers.integers(len(best), size=n)
        width = 10 ** self.numbers.uniform(-2.5, -0.8, size=(n, 1))
        moved = ~self.units.unordered | (self.numbers.random((n, best.shape[1])) < 0.1)
        return self._moved(best[picked], width, moved)

    def _moved(
        self, start: FloatArray, width: FloatArray, moved: BoolArray
    ) -> FloatArray:
        rows = np.arange(len(start))
        moved[rows, self.numbers.integers(start.shape[1], size=len(start))] = True
        # What is inactive in the trial that is varied may become active.
        anew = self.numbers.random(start.shape)
        redrawn = ~self.units.active(start) | (moved & self.units.unordered)
        steps = np.where(moved, width * self.numbers.normal(size=start.shape), 0)
        # A cell is the smallest step that a discrete parameter can notice.
        steps = np.where(self.units.discrete, self._whole(steps), steps)
        return self.units.snap(np.where(redrawn, anew, start + steps))

    def _whole(self, steps: FloatArray) -> FloatArray:
        """Return `steps` rounded to whole cells by chance, so that none is lost."""
        cells = steps * self.units.sizes
        whole = np.floor(cells + self.numbers.random(steps.shape))
        return np.asarray(whole / self.units.sizes, dtype=np.float64)
