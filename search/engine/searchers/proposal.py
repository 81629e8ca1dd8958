"""The layer around every searcher: known-good configurations first, no duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.engine.searchers.protocol import Searcher, generator
from search.journal.records import Source, TrialRecord
from search.space.space import Space
from search.space.values import FlatConfiguration, Value

MAX_REPLACEMENTS = 50
"""Random replacements tried for a duplicate; a space with fewer configurations than
trials has to repeat itself in the end."""

_REPLACEMENT_STREAM = 1


@dataclass(frozen=True)
class Proposal:
    """A flat configuration and where it comes from."""

    configuration: dict[str, Value]
    source: Source


def next_proposal(
    searcher: Searcher,
    space: Space,
    history: Sequence[TrialRecord],
    *,
    trial: int,
    seed: int,
) -> Proposal:
    """Return the configuration of trial number `trial`.

    Trial k is the k-th known-good configuration, as long as there are any. After that
    the searcher proposes. What any earlier trial has, running and failed ones included,
    is not proposed again: a random configuration takes its place.
    """
    if trial < len(space.known_good):
        return Proposal(space.resolve(space.known_good[trial]), "known_good")
    taken = {_key(record.configuration) for record in history}
    proposed = searcher.propose(space, history, trial=trial, seed=seed)
    numbers = generator(seed, trial, _REPLACEMENT_STREAM)
    for _ in range(MAX_REPLACEMENTS):
        if _key(proposed) not in taken:
            break
        proposed = space.sample(numbers)
    return Proposal(proposed, "searcher")


def _key(flat: FlatConfiguration) -> frozenset[tuple[str, type, Value]]:
    return frozenset((name, type(value), value) for name, value in flat.items())
