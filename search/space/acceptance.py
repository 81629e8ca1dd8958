"""How much of a space its constraints leave over, measured on random configurations."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from search.space.space import Space

DRAWS = 10_000
FEWEST = 10
"""Of `DRAWS`. With fewer, under 0.1 % of the space, rejection takes too long."""

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Acceptance:
    """What became of random configurations drawn without regard to constraints."""

    draws: int
    allowed: int
    rejections: dict[str, int]
    """Constraint → configurations that break it, whatever else they break."""

    @property
    def rate(self) -> float:
        """Share that every constraint allows."""
        return self.allowed / self.draws

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the rate (Wilson, *J. Am. Stat. Assoc.* 22, 209, 1927)."""
        n, z = self.draws, _NORMAL_95
        middle = (self.rate + z * z / (2 * n)) / (1 + z * z / n)
        spread = math.sqrt(self.rate * (1 - self.rate) / n + z * z / (4 * n * n))
        half = z / (1 + z * z / n) * spread
        return max(middle - half, 0.0), min(middle + half, 1.0)


def measure_acceptance(
    space: Space, *, draws: int = DRAWS, enough: int | None = None, seed: int = 0
) -> Acceptance:
    """Return what the constraints allow of `draws` random configurations.

    Args:
        space: with its constraints.
        draws: number of configurations.
        enough: stop as soon as so many are allowed; None draws all.
        seed: of the draws.
    """
    shares = np.random.default_rng(seed).random((draws, len(space.parameters)))
    rejections = Counter({rule.text: 0 for rule in space.rules})
    drawn = allowed = 0
    for units in space.drawn_units(shares).tolist():
        flat = space.from_units(units)
        broken = [rule.text for rule in space.rules if not rule.holds(flat)]
        rejections.update(broken)
        drawn, allowed = drawn + 1, allowed + (not broken)
        if allowed == enough:
            break
    return Acceptance(drawn, allowed, dict(rejections))


def percent(share: float) -> str:
    """Return a share in words: 41.3 %, 0.0412 %."""
    return f"{100 * share:.3g} %"
