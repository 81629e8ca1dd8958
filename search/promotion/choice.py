"""Which trial is promoted: a pure function of the records."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from search.journal import TrialRecord
from search.trial.outcome import Outcome
from sitenet_core.errors import NoTrialSucceededError


@dataclass(frozen=True)
class Choice:
    """The trial that goes into the long training, and what it was chosen by."""

    trial: TrialRecord
    epoch: int
    """Rung at which it was compared; the last epoch for a completed trial."""
    value: float
    """Its validation objective there (`objective_at`)."""


def choose(trials: Iterable[TrialRecord]) -> Choice:
    """Return the best trial.

    Completed trials are compared at their last epoch. Only if there is none, the
    trials that reached the deepest rung that any reached are compared there: values of
    different rungs are never compared. Failed trials do not count, whatever rungs they
    reached. Of equal trials the earlier one is taken.

    Raises:
        NoTrialSucceededError: if no trial has a value to be chosen by.
    """
    records = list(trials)
    reached = [t for t in records if t.rung_values and not _failed(t)]
    completed = [t for t in reached if t.outcome is Outcome.COMPLETED]
    if not reached:
        raise NoTrialSucceededError(_nothing(records))
    if completed:
        candidates = [Choice(t, *max(t.rung_values.items())) for t in completed]
    else:
        deepest = max(max(t.rung_values) for t in reached)
        candidates = [
            Choice(t, deepest, t.rung_values[deepest])
            for t in reached
            if deepest in t.rung_values
        ]
    return min(candidates, key=lambda c: (c.value, c.trial.number))


def _failed(trial: TrialRecord) -> bool:
    return trial.outcome is not None and trial.outcome.is_failure


def _nothing(records: list[TrialRecord]) -> str:
    counts = Counter(str(t.outcome or "unfinished") for t in records)
    found = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    return (
        f"there is no trial to promote: of {len(records)} trials none reached a rung "
        f"({found or 'none was started'}); see the tracebacks of the failed ones with "
        "`sitenet search status`, or go on with `sitenet search run --resume`"
    )
