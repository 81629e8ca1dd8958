"""How far a rung foretells the next one: whether it can be trusted to choose trials.

Between two neighbouring rungs, Spearman's rank correlation over the trials that reached
both, with a 95 % interval: Fisher's transform with the variance of Bonett and Wright
(*Psychometrika* 65, 2000, 23-28), (1 + ρ²/2)/(n - 3). A correlation of ±1 is taken half
a step back from the end, or few trials would make it certain. Where the rung itself
chose who went on, these trials are alike in what it measures; the figure is then rather
too low than too high.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from search.engine.fidelity import Fidelity
from search.journal import TrialRecord

_LEAST = 4
"""Trials below which the interval does not exist."""
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class RungAgreement:
    """A rung beside the next one."""

    rung: int
    trials: int
    """That reached it, failed ones left out."""
    following: int | None
    """The next rung; None after the last."""
    both: int
    """Trials that reached the next rung too."""
    correlation: float | None
    """Spearman's; None for fewer than four trials, or if one rung holds only ties."""
    low: float | None
    high: float | None

    def line(self, fidelity: Fidelity) -> str | None:
        """Return what it says in words; None where there is nothing to compare."""
        if self.following is None:
            return None
        first, second = fidelity.name_of(self.rung), fidelity.name_of(self.following)
        text = f"{first} and {second}: "
        if self.correlation is None or self.low is None or self.high is None:
            return f"{text}{self.both} trials, too few for a rank correlation"
        between = f"95 % between {self.low:.2f} and {self.high:.2f}"
        text += f"rank correlation {self.correlation:.2f} ({between}, "
        return f"{text}{self.both} trials)"


def rung_agreements(records: Sequence[TrialRecord]) -> list[RungAgreement]:
    """Return every rung that a trial has reached, the first one first."""
    alive = [r for r in records if r.outcome is None or not r.outcome.is_failure]
    rungs = sorted({rung for record in alive for rung in record.rung_values})
    return [
        _agreement(alive, rung, following)
        for rung, following in zip(rungs, [*rungs[1:], None], strict=False)
    ]


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the rank correlation; None if all values on one side are equal."""
    a, b = _ranks(first), _ranks(second)
    middle = (len(a) + 1) / 2
    products = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(
        sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b)
    )
    return products / spread if spread else None


def interval(correlation: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a rank correlation over `n` trials, four or more."""
    most = 1 - 6 / (n**3 - n)
    inner = min(max(correlation, -most), most)
    width = _NORMAL_95 * math.sqrt((1 + inner**2 / 2) / (n - 3))
    centre = math.atanh(inner)
    return math.tanh(centre - width), math.tanh(centre + width)


def _agreement(
    records: Sequence[TrialRecord], rung: int, following: int | None
) -> RungAgreement:
    here = [r.rung_values for r in records if rung in r.rung_values]
    both = [values for values in here if following in values]
    correlation = low = high = None
    if following is not None and len(both) >= _LEAST:
        correlation = spearman(
            [values[rung] for values in both], [values[following] for values in both]
        )
    if correlation is not None:
        low, high = interval(correlation, len(both))
    return RungAgreement(
        rung, len(here), following, len(both), correlation, low=low, high=high
    )


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value from 1; equal values share the mean of theirs."""
    places: dict[float, list[int]] = defaultdict(list)
    for place, value in enumerate(sorted(values), start=1):
        places[value].append(place)
    return [(places[value][0] + places[value][-1]) / 2 for value in values]
