"""What a choice says of the trials that were in question, as it is journalled."""

from collections.abc import Sequence
from typing import Literal

from search.journal.events import PromotionCandidate
from search.promotion.comparison import LEVEL
from sitenet_core.config import StrictModel

EQUALLY_FAST = 1.1
"""Seconds per epoch up to this factor apart count as equal: a machine's timings are
not more exact. Then the number of parameters decides."""


class Contender(StrictModel):
    """One of the best trials of the search, and how it did when trained again."""

    trial: int
    search_value: float
    """Validation objective in the search, by which it was selected: it is no part of
    the mean."""
    epoch: int | None = None
    """Of the search value; values of different epochs are not to be compared. None in
    a promotion of before it was recorded."""
    values: tuple[float | None, ...] = ()
    """Validation objective of each rerun, by seed, then by fold; null if it failed."""
    mean: float | None = None
    """Over the reruns; null if there are none or one failed."""
    difference: float | None = None
    """Mean difference to the contender with the lowest mean, over paired reruns."""
    interval: tuple[float, float] | None = None
    """Of the difference; null if the reruns are too few for one."""
    verdict: Literal["lowest", "tie", "worse", "failed", "not rerun"]
    """`tie`: the interval includes 0, or there is none."""
    outlying_variance: bool = False
    """Whether its reruns disagree far more than the others'. Then they are in no
    interval, standard error or noise, unless its mean is the lowest."""
    seconds_per_epoch: float | None = None
    parameters: int | None = None


class Optimism(StrictModel):
    """How much too good the search's own values were: measured, and expected.

    The two are of different trials, unless the search's own best is promoted.
    """

    search_value: float
    """Of the promoted trial."""
    rerun_mean: float | None
    """Of its reruns at the epoch of the search value; None if that is at a lower level
    of the study's fidelity, or one of them has no value there."""
    measured: float | None
    """`rerun_mean` − `search_value`; one training's noise is part of it."""
    best: PromotionCandidate | None = None
    """The search's own best, of which the three below are. None in a promotion of
    before it was recorded."""
    expected: float | None
    """How much too small its value is expected to be as the smallest of all that were
    compared at its epoch, given the noise of one training."""
    compared: int
    """Number of these trials."""
    noise: float | None
    """Standard deviation of one training there, from the reruns that agree."""


class Choice(StrictModel):
    """The trial that goes into the long training, and how it was chosen."""

    trial: int
    epoch: int
    """Epoch at which the search compared it; the last one for a completed trial."""
    value: float
    """Its validation objective there, in the search."""
    decided_by: Literal["search value", "mean", "cost"]
    """`cost`: it is tied with the lowest mean and cheaper."""
    seeds: tuple[int, ...] = ()
    folds: tuple[int, ...] = ()
    level: float = LEVEL
    """Of each interval."""
    standard_error: float | None = None
    """Of the means; of one whose variance is outlying it is larger."""
    contenders: tuple[Contender, ...]
    """By mean, the lowest first; those with a failed rerun last."""
    optimism: Optimism | None = None
    without: str = ""
    """Why nothing was trained again; empty if something was."""


def cheapest(contenders: Sequence[Contender]) -> Contender:
    """Return the cheapest of contenders that are equally good; the best comes first.

    Of those up to EQUALLY_FAST times slower than the fastest, the one with the fewest
    parameters; of equals, the one with the lower mean.
    """
    fastest = min(c.seconds_per_epoch or 0.0 for c in contenders)
    fast = [
        c for c in contenders if (c.seconds_per_epoch or 0.0) <= EQUALLY_FAST * fastest
    ]
    return min(fast, key=lambda c: c.parameters or 0)
