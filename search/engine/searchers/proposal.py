"""The layer around every searcher: known configurations first, no duplicates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.engine.searchers.duplicates import Neighbourhood
from search.engine.searchers.protocol import NO_EARLIER, Earlier, Searcher, generator
from search.engine.searchers.untried import untried
from search.journal.records import Source, TrialRecord
from search.space.conditions import same
from search.space.space import Space
from search.space.values import FlatConfiguration, Value

MAX_REPLACEMENTS = 50
"""Random replacements tried for a duplicate, before what is left is listed."""

_REPLACEMENT_STREAM = 1


@dataclass(frozen=True)
class Proposal:
    """A flat configuration and where it comes from."""

    configuration: dict[str, Value]
    source: Source


def next_proposal(  # noqa: PLR0913 - six, all of them the contract's
    searcher: Searcher,
    space: Space,
    history: Sequence[TrialRecord],
    *,
    trial: int,
    seed: int,
    earlier: Earlier = NO_EARLIER,
) -> Proposal:
    """Return the configuration of trial number `trial`.

    First come the known-good configurations that no trial has yet: in their order when
    a study begins, and those that an edit of the space has added. Then come the
    configurations of the earlier studies' portfolio that no trial has yet. After that
    the searcher proposes. What any trial has, running and failed ones included, or
    nearly has (see `duplicates`), is not proposed again, and what the space's
    constraints rule out never is: a random configuration takes its place, or one drawn
    from a list of what is left, where the space has one. A space of which nothing is
    left repeats itself: whoever creates trials asks `is_exhausted` first.
    """
    configurations = [record.configuration for record in history]
    for values in space.known_good:
        known = space.resolve(values)
        if not _is_among(known, configurations):
            return Proposal(known, "known_good")
    for carried_over in earlier.portfolio:
        new = not _is_among(carried_over, configurations)
        if new and space.allows(carried_over):
            return Proposal(dict(carried_over), "portfolio")
    proposed = searcher.propose(space, history, trial=trial, seed=seed, earlier=earlier)
    numbers = generator(seed, trial, _REPLACEMENT_STREAM)
    for _ in range(MAX_REPLACEMENTS):
        if _is_new(space, proposed, configurations):
            return Proposal(proposed, "searcher")
        proposed = space.sample(numbers)
    if not _is_new(space, proposed, configurations):
        left = untried(space, history) or [proposed]
        proposed = dict(left[numbers.integers(len(left))])
    return Proposal(proposed, "searcher")


def _is_new(
    space: Space, flat: FlatConfiguration, tried: Iterable[FlatConfiguration]
) -> bool:
    """Return whether `flat` may be proposed."""
    return not Neighbourhood.of(space, flat).meets(tried) and space.allows(flat)


def _is_among(flat: FlatConfiguration, others: Iterable[FlatConfiguration]) -> bool:
    """Return whether one of `others` has the very values of `flat`."""
    return any(
        flat == other and all(same(flat[name], other[name]) for name in flat)
        for other in others
    )
