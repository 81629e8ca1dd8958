"""What is left of a space that has an end of configurations."""

from collections.abc import Sequence

from search.journal.records import TrialRecord
from search.space.space import Space
from search.space.values import Value, identity


def untried(
    space: Space, history: Sequence[TrialRecord]
) -> list[dict[str, Value]] | None:
    """Return the configurations of `space` that no trial has, in a fixed order.

    None if they are not listed: there is no end of them, or too many (see
    `search.space.enumeration`).
    """
    if space.every_configuration is None:
        return None
    tried = {identity(record.configuration) for record in history}
    return [flat for flat in space.every_configuration if identity(flat) not in tried]


def is_exhausted(space: Space, history: Sequence[TrialRecord]) -> bool:
    """Return whether every configuration of `space` has a trial, of whatever outcome.

    Never where they are not listed.
    """
    every = space.every_configuration
    if every is None or len(history) < len(every):
        return False
    return not untried(space, history)
