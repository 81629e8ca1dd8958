"""When trial after trial fails before its first epoch, and more would fail too.

Such a row has a cause that is the study's: data that are gone, a GPU that does not
answer, a space whose every configuration is refused. Trials that go on into it are
lost, since an outcome is final, and a budget of epochs alone would never end. Once the
cause is mended, the next session goes on, and tries as many again.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from search.journal import (
    Entry,
    EpochDone,
    Event,
    SegmentFinished,
    SegmentStarted,
    SessionStarted,
    StudyState,
    TrialFinished,
)
from search.trial.outcome import Outcome

HOPELESS = 20
"""So many failures in a row end a session: any, as long as the study has not trained an
epoch; later those that say little of their configuration."""
HOPELESS_OF_ANY_KIND = 100
"""So many of whatever kind end a session of a study that has trained. A searcher may
propose from a region that fails: where four of five trials do, twenty in a row come
about once in a hundred trials, a hundred in a row never."""

_SAY_LITTLE = frozenset({Outcome.FAILED_DATA, Outcome.FAILED_EXCEPTION})
"""Searchers learn from the others: refusals, losses that diverge, lack of time or of
memory (which is what most lost workers died of)."""


def is_hopeless(state: StudyState, entries: Sequence[Entry]) -> bool:
    """Return whether the trials of this session fail one after another.

    Args:
        state: of the study.
        entries: of its journal.
    """
    row = list(failures_in_a_row(entries))
    if len(row) < HOPELESS:
        return False
    if not any(trial.epoch_values for trial in state.trials):
        return True
    say_little = sum(outcome in _SAY_LITTLE for outcome in row)
    return say_little >= HOPELESS or len(row) >= HOPELESS_OF_ANY_KIND


def failures_in_a_row(entries: Sequence[Entry]) -> Iterator[Outcome]:
    """Yield how trials failed since the last epoch, of any trial, in this session.

    Only segments that began after that epoch count: many workers may each have trained
    one before they fail.
    """
    events = [entry.event for entry in takewhile(_is_of_the_row, reversed(entries))]
    begun = {e.trial for e in events if isinstance(e, SegmentStarted)}
    for event in events:
        if not isinstance(event, TrialFinished) or event.trial not in begun:
            continue
        if event.outcome.is_failure:
            yield event.outcome


def _is_of_the_row(entry: Entry) -> bool:
    ends_it: tuple[type[Event], ...] = (EpochDone, SegmentFinished, SessionStarted)
    return not isinstance(entry.event, ends_it)
