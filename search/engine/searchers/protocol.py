"""What a searcher is: it reads the records and proposes one configuration."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from search.journal.records import TrialRecord
from search.space.space import Space
from search.space.values import Value


class Searcher(Protocol):
    """Pure and deterministic: equal arguments give equal proposals."""

    def propose(
        self, space: Space, history: Sequence[TrialRecord], *, trial: int, seed: int
    ) -> dict[str, Value]:
        """Return a flat configuration of `space`.

        Args:
            space: what may be proposed.
            history: every trial so far, in order of number, unfinished ones included.
            trial: number of the trial that is asked for.
            seed: seed of the study.
        """
        ...


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Return the random numbers of one purpose within a study.

    Args:
        seed: seed of the study.
        stream: whole numbers that name the purpose, such as the trial's number.
    """
    return np.random.default_rng((seed, *stream))
