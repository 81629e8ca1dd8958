"""The trials of a search from best to worst, by what the search measured."""

from collections import Counter
from collections.abc import Iterable

from search.journal import TrialRecord
from search.journal.events import PromotionCandidate
from search.trial.outcome import Outcome
from sitenet_core.errors import NoTrialSucceededError


def ranked(trials: Iterable[TrialRecord]) -> list[PromotionCandidate]:
    """Return every trial that can be promoted, the best first.

    Completed trials are compared at their last epoch. Only if there is none, the
    trials that reached the deepest rung that any reached are compared there: values of
    different rungs are never compared. Failed trials do not count, whatever rungs they
    reached. Of equal trials the earlier one comes first.

    Raises:
        NoTrialSucceededError: if no trial has a value to be compared by.
    """
    records = list(trials)
    reached = [t for t in records if t.rung_values and not _failed(t)]
    if not reached:
        raise NoTrialSucceededError(_nothing(records))
    completed = [t for t in reached if t.outcome is Outcome.COMPLETED]
    if completed:
        found = [_candidate(t, max(t.rung_values)) for t in completed]
    else:
        deepest = max(max(t.rung_values) for t in reached)
        found = [_candidate(t, deepest) for t in reached if deepest in t.rung_values]
    return sorted(found, key=lambda c: (c.value, c.trial))


def _candidate(trial: TrialRecord, epoch: int) -> PromotionCandidate:
    value = trial.rung_values[epoch]
    return PromotionCandidate(trial=trial.number, epoch=epoch, value=value)


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
