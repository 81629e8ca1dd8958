"""Values of metrics as MLflow shows them, and the words that they have there."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from search.journal.records import TrialRecord
from search.journal.trials import OBJECTIVE

BEST = f"best_{OBJECTIVE}"
"""The objective as `objective_at` defines it, the smallest value so far: the metric to
sort by, and the same word on the study, its trials, their reruns and the promotion."""


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    name: str
    value: float
    step: int
    """Epoch; for the study itself, number of trials that had ended for good."""
    time_ms: int
    """Milliseconds since 1970, UTC."""


def milliseconds(time: str) -> int:
    """Return an ISO 8601 time of the journal as milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def curve_points(
    curve: Mapping[int, Mapping[str, float | int | None]],
    start_ms: int,
    restarts: Iterable[int] = (),
) -> Iterator[Point]:
    """Yield the points of a learning curve; their times count the training only.

    Args:
        curve: epoch → everything that was measured in it.
        start_ms: when it began.
        restarts: epochs after which another training began, from nothing: what came
            before is no best value of what follows.
    """
    time_ms, best = float(start_ms), math.inf
    ahead = sorted(restarts)
    for epoch, metrics in sorted(curve.items()):
        while ahead and epoch > ahead[0]:
            best = math.inf
            del ahead[0]
        time_ms += 1000 * (metrics.get("seconds") or 0)
        for name, value in metrics.items():
            if value is not None:
                yield Point(name, float(value), epoch, round(time_ms))
        value = metrics.get(OBJECTIVE)
        if value is not None and math.isfinite(value):
            best = min(best, float(value))
        if math.isfinite(best):
            yield Point(BEST, best, epoch, round(time_ms))


def restarts_of(trial: TrialRecord) -> frozenset[int]:
    """Return the epochs after which a trial began anew at a higher level."""
    last = trial.begins_after
    if not last:
        return frozenset()
    return frozenset({last, *(rung for rung in trial.rung_values if rung < last)})


def shown(points: Iterable[Point]) -> dict[str, Point]:
    """Return the point of each metric that MLflow's tables show and sort by."""
    latest: dict[str, Point] = {}
    for point in points:
        before = latest.setdefault(point.name, point)
        if _order(point) > _order(before):
            latest[point.name] = point
    return latest


def corrections(stored: Iterable[Point], wanted: Iterable[Point]) -> list[Point]:
    """Return what makes MLflow show the values that `wanted` ends with.

    MLflow forgets no point: epochs of an attempt that was repeated stay, and hide those
    that count now where they were later or took longer.
    """
    seen = shown(stored)
    return [
        Point(name, point.value, seen[name].step, seen[name].time_ms + 1)
        for name, point in shown(wanted).items()
        if seen[name].value != point.value
    ]


def _order(point: Point) -> tuple[int, int, float]:
    return point.step, point.time_ms, point.value
