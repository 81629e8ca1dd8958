"""Independent uniform configurations."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.engine.searchers.protocol import NO_EARLIER, Earlier, generator
from search.journal.records import TrialRecord
from search.space.space import Space
from search.space.values import Value


@dataclass(frozen=True)
class RandomSearcher:
    """Does not look at the history; trial k of a seed is always the same."""

    def propose(
        self,
        space: Space,
        history: Sequence[TrialRecord],  # noqa: ARG002 - part of the contract
        *,
        trial: int,
        seed: int,
        earlier: Earlier = NO_EARLIER,  # noqa: ARG002 - part of the contract
    ) -> dict[str, Value]:
        """Return sample number `trial` of the study with seed `seed`."""
        return space.sample(generator(seed, trial))
