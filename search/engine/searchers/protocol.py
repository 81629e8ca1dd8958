"""What a searcher is: it reads the records and proposes one configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from search.journal.records import TrialRecord
from search.space.space import Space
from search.space.values import FlatConfiguration, Value


@dataclass(frozen=True)
class Observation:
    """How one configuration did in an earlier study."""

    configuration: FlatConfiguration
    """Complete for the space of this study."""
    rank: float
    """0 for the best … 1 for the worst within its own study, at the deepest rung that
    its trials share. Values of two studies are never compared, only ranks."""


@dataclass(frozen=True)
class Earlier:
    """All that earlier studies tell this one."""

    portfolio: tuple[FlatConfiguration, ...] = ()
    """Complete configurations, tried in this order after the known-good ones."""
    observations: tuple[Observation, ...] = ()
    """What a model may learn from, less and less as own trials come in."""


NO_EARLIER = Earlier()


class Searcher(Protocol):
    """Pure and deterministic: equal arguments give equal proposals."""

    def propose(
        self,
        space: Space,
        history: Sequence[TrialRecord],
        *,
        trial: int,
        seed: int,
        earlier: Earlier = NO_EARLIER,
    ) -> dict[str, Value]:
        """Return a flat configuration of `space`.

        Args:
            space: what may be proposed.
            history: every trial so far, in order of number, unfinished ones included.
            trial: number of the trial that is asked for.
            seed: seed of the study.
            earlier: what earlier studies tell; its portfolio is not the searcher's
                business.
        """
        ...


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Return the random numbers of one purpose within a study.

    Args:
        seed: seed of the study.
        stream: whole numbers that name the purpose, such as the trial's number.
    """
    return np.random.default_rng((seed, *stream))
