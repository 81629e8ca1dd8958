"""What the records tell a model: values per rung, failures, what is still running."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search.engine.searchers.protocol import Earlier
from search.engine.searchers.rung_chain import Sample, normal_scores
from search.engine.searchers.units import FloatArray, UnitSpace
from search.journal.records import TrialRecord

_LEAST_TRIALS = 3
"""Of a rung that becomes a link."""
_FIRST_LINK, _LATER_LINK = 150, 100
"""Most trials that a link is told: half of them the best, the others the newest."""
_BEST_OF_DEEPEST, _BEST_BEFORE = 8, 30
_EARLIER_LOG_NOISE = math.log(0.5)
"""Earlier studies disagree with each other where their optima differ."""


@dataclass(frozen=True)
class Rung:
    """The trials that have a value at one epoch, in order of number."""

    epoch: int
    rows: tuple[int, ...]
    """Places of the trials in the history."""
    values: FloatArray
    """(n,) their objective there."""

    @property
    def best_first(self) -> tuple[int, ...]:
        """The rows, ascending in value and then in number."""
        order = np.argsort(self.values, kind="stable")
        return tuple(self.rows[k] for k in order.tolist())

    def bounded(self, limit: int) -> "Rung":
        """Return the rung with its best and its newest trials only."""
        if len(self.rows) <= limit:
            return self
        order = np.argsort(self.values, kind="stable")
        newest = np.sort(order[limit // 2 :])[-(limit - limit // 2) :]
        kept = np.sort(np.concatenate((order[: limit // 2], newest)))
        rows = tuple(self.rows[k] for k in kept.tolist())
        return Rung(self.epoch, rows, self.values[kept])


def rungs_of(history: Sequence[TrialRecord]) -> tuple[Rung, ...]:
    """Return the rungs to model, from the shallowest to the deepest.

    These have three trials or more; if none has, the one with the most. Trials that
    failed have no part in any: see `Outcome`.
    """
    found: dict[int, list[tuple[int, float]]] = {}
    for row, record in enumerate(history):
        if record.outcome is None or not record.outcome.is_failure:
            for epoch, value in record.rung_values.items():
                if math.isfinite(value):
                    found.setdefault(epoch, []).append((row, value))
    counts = Counter({epoch: len(entries) for epoch, entries in found.items()})
    chosen = sorted(epoch for epoch, n in counts.items() if n >= _LEAST_TRIALS)
    if not chosen and counts:
        chosen = [max(counts, key=lambda epoch: (counts[epoch], epoch))]
    return tuple(
        Rung(
            epoch,
            tuple(row for row, _ in found[epoch]),
            np.array([value for _, value in found[epoch]]),
        )
        for epoch in chosen
    )


@dataclass(frozen=True)
class Evidence:
    """The history, bounded, as coordinates and scores."""

    units: UnitSpace
    history: Sequence[TrialRecord]
    """In order of number."""
    rungs: tuple[Rung, ...]
    """At least one."""

    @classmethod
    def of(cls, units: UnitSpace, history: Sequence[TrialRecord]) -> "Evidence | None":
        """Return what `history` tells, None as long as no trial has a value."""
        ordered = sorted(history, key=lambda r: r.number)
        rungs = rungs_of(ordered)
        if not rungs:
            return None
        limits = [_FIRST_LINK] + [_LATER_LINK] * (len(rungs) - 1)
        bounded = tuple(r.bounded(n) for r, n in zip(rungs, limits, strict=True))
        return cls(units, ordered, bounded)

    @cached_property
    def samples(self) -> list[Sample]:
        """One per rung."""
        return [
            Sample(
                self.features(rung.rows),
                normal_scores(rung.values),
                self.features(self._due(rung.epoch)),
            )
            for rung in self.rungs
        ]

    @cached_property
    def best(self) -> FloatArray:
        """(n, n_parameters) the best trials of the deepest rung, then those before."""
        chosen: tuple[int, ...] = ()
        for rung in self.rungs:
            ahead = rung.best_first[:_BEST_BEFORE]
            chosen = (*ahead[:_BEST_OF_DEEPEST], *chosen) if chosen else ahead
        return self.coordinates(chosen)

    @cached_property
    def failed(self) -> tuple[int, ...]:
        """Rows of the newest trials that are to blame for their failure."""
        rows = [
            row
            for row, record in enumerate(self.history)
            if record.outcome is not None and record.outcome.penalised
        ]
        return tuple(rows[-_LATER_LINK:])

    def features(self, rows: Sequence[int]) -> FloatArray:
        """Return the features of the trials in `rows`."""
        return self.units.features(self.coordinates(rows))

    def coordinates(self, rows: Sequence[int]) -> FloatArray:
        """Return the coordinates of the trials in `rows`."""
        places = [self._places[row] for row in rows]
        return self._encoded[np.array(places, dtype=np.intp)]

    @cached_property
    def _used(self) -> list[int]:
        """Every row that is asked for: all others are never encoded."""
        told = {row for rung in self.rungs for row in rung.rows}
        running = {row for row, r in enumerate(self.history) if r.running}
        return sorted(told | running | set(self.failed))

    @cached_property
    def _places(self) -> dict[int, int]:
        return {row: place for place, row in enumerate(self._used)}

    @cached_property
    def _encoded(self) -> FloatArray:
        flats = [self.history[row].configuration for row in self._used]
        return self.units.encode(flats)

    def _due(self, epoch: int) -> list[int]:
        """Return the rows of the running trials that lack a value at `epoch`."""
        return [
            row
            for row, record in enumerate(self.history)
            if record.running and epoch not in record.rung_values
        ]


def told_earlier(units: UnitSpace, earlier: Earlier) -> list[Sample]:
    """Return what comes before the first rung: at most one sample, of all studies."""
    observed = sorted(earlier.observations, key=lambda o: o.rank)
    if len(observed) < _LEAST_TRIALS:
        return []
    if len(observed) > _FIRST_LINK:
        half = _FIRST_LINK // 2
        spread = np.linspace(half, len(observed) - 1, _FIRST_LINK - half).astype(int)
        observed = observed[:half] + [observed[k] for k in spread]
    features = units.features(units.encode([o.configuration for o in observed]))
    scores = normal_scores(np.array([o.rank for o in observed]))
    return [Sample(features, scores, features[:0], _EARLIER_LOG_NOISE)]
