"""The trials of a search from best to worst, by what the search measured."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable

from search.journal import TrialRecord
from search.journal.events import PromotionCandidate
from search.space.values import identity
from search.trial.outcome import Outcome
from sitenet_core.errors import NoTrialSucceededError


def ranked(trials: Iterable[TrialRecord]) -> list[PromotionCandidate]:
    """Return every trial that can be promoted, the best first.

    Values of different rungs are never compared. The trials that came furthest are
    the first, completed ones above all; trials are compared at the deepest rung of
    each. So those that wait at the rungs below are there to be trained again, if few
    reached the last one. Failed trials do not count, whatever rungs they reached. Of
    equal trials the earlier one comes first. Of trials with one configuration only the
    best counts: the others would be trained again in place of a runner-up.

    Raises:
        NoTrialSucceededError: if no trial has a value to be compared by.
    """
    records = list(trials)
    best = _best_of_each(records)
    if not best:
        raise NoTrialSucceededError(_nothing(records))
    return [_candidate(t) for t in best]


def values_at(trials: Iterable[TrialRecord], epoch: int) -> list[float]:
    """Return the values at a rung of all that are ranked and reached it."""
    return [
        t.rung_values[epoch] for t in _best_of_each(trials) if epoch in t.rung_values
    ]


def _best_of_each(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the best trial of each configuration, the best of all first."""
    reached = [t for t in trials if t.rung_values and not _failed(t)]
    best: dict[Hashable, TrialRecord] = {}
    for trial in sorted(reached, key=_place):
        best.setdefault(identity(trial.configuration), trial)
    return list(best.values())


def _candidate(trial: TrialRecord) -> PromotionCandidate:
    epoch = max(trial.rung_values)
    value = trial.rung_values[epoch]
    return PromotionCandidate(trial=trial.number, epoch=epoch, value=value)


def _place(trial: TrialRecord) -> tuple[float, float, int]:
    epoch = max(trial.rung_values)
    furthest = math.inf if trial.outcome is Outcome.COMPLETED else epoch
    return -furthest, trial.rung_values[epoch], trial.number


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
