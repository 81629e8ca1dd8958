"""What an edit of a study does to its trials."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from search.journal.events import SetAside, StudyEdited
from search.journal.records import TrialRecord
from search.space.values import FlatConfiguration
from search.trial.outcome import Outcome


@dataclass(frozen=True)
class Outside:
    """A trial that does not fit the definition of its study as it is now."""

    record: TrialRecord
    """As it was; it comes back unchanged if a later edit has room for it."""
    words: SetAside


@dataclass(frozen=True)
class Edited:
    """The trials after an edit."""

    trials: tuple[TrialRecord, ...]
    outside: Mapping[int, Outside]


def after_edit(
    trials: tuple[TrialRecord, ...], outside: Mapping[int, Outside], event: StudyEdited
) -> Edited:
    """Return the trials after `event`, with none of them running.

    A trial that is set aside keeps its number and its curve. It has the outcome
    `outside` and no values, so it is neither modelled, ranked, promoted nor best.
    """
    records: list[TrialRecord] = []
    put_outside: dict[int, Outside] = {}
    for current in trials:
        number = current.number
        record = outside[number].record if number in outside else current
        if number in event.set_aside:
            words = event.set_aside[number]
            put_outside[number] = Outside(record, words)
            record = _without_values(record, words)
        elif number in event.configurations:
            flat = cast("FlatConfiguration", event.configurations[number])
            record = replace(record, configuration=flat)
        records.append(replace(record, running=False))
    return Edited(tuple(records), put_outside)


def _without_values(record: TrialRecord, words: SetAside) -> TrialRecord:
    return replace(
        record,
        outcome=Outcome.OUTSIDE,
        rung_values={},
        epoch_values={},
        message=words.reason,
    )
