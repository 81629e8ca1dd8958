"""How the trials of one study compare with each other, as one number each.

Values of two studies cannot be compared, whatever they minimise, nor those of two
rungs; ranks can. A trial that was trained deeper was found better at every rung on the
way, so trials are sorted by the deepest rung that they reached, and within it by their
value there. Trials with equal values share the mean of their places. Those that failed
in a way that counts (see `Outcome`) share the last place: a new study had better not
begin with them. Trials without a rung, and failures that say nothing about the
configuration, have no rank.
"""

import math
from collections.abc import Sequence
from itertools import groupby

from search.journal.records import TrialRecord

_FAILED = (math.inf, math.inf)
_Key = tuple[float, float]


def ranks(records: Sequence[TrialRecord]) -> dict[int, float]:
    """Return trial number → rank, 0 for the best … 1 for the worst.

    Empty if no trial has a value: failures alone have no order. A single trial with a
    value has rank 0.
    """
    keyed = [(key, r.number) for r in records if (key := _key(r)) is not None]
    if all(key == _FAILED for key, _ in keyed):
        return {}
    ranked: dict[int, float] = {}
    last = max(len(keyed) - 1, 1)
    for key, tied in groupby(sorted(keyed), key=lambda entry: entry[0]):
        numbers = [number for _, number in tied]
        first = len(ranked)
        middle = first + (len(numbers) - 1) / 2
        place = float(last) if key == _FAILED else middle
        ranked.update(dict.fromkeys(numbers, place / last))
    return ranked


def _key(record: TrialRecord) -> _Key | None:
    """Return what trials are sorted by; None for one that has no place."""
    if record.outcome is not None and record.outcome.is_failure:
        return _FAILED if record.outcome.penalised else None
    for rung in sorted(record.rung_values, reverse=True):
        value = record.rung_values[rung]
        if math.isfinite(value):
            return -float(rung), value
    return None
