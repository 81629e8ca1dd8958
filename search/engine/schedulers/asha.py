"""Asynchronous successive halving by promotion.

Li et al., *A System for Massively Parallel Hyperparameter Tuning*, MLSys 2020,
arXiv:1810.05934, Algorithm 2. A trial is trained to the first rung and waits there.
Whenever a slot is free, the scheduler looks from the deepest rung down for a trial
among the best 1/eta of its rung that has not been promoted yet; if there is none, the
first rung gets a new trial. No trial is ever stopped before a rung.

In one thing this goes beyond the algorithm. With many workers the first few trials to
arrive at a rung are promoted as the best of a handful while dozens are still on their
way there, and long segments are spent on them. Here a trial is promoted ahead of a new
one only if it would stay among the best 1/eta even if every trial on its way to the
rung came out better. With one worker none is, and this is the algorithm itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.engine.schedulers.protocol import (
    Continue,
    Decision,
    NewTrial,
    continue_interrupted,
)
from search.journal.records import TrialRecord
from sitenet_core.errors import ConfigError


def geometric_rungs(min_epochs: int, eta: int, epochs: int) -> tuple[int, ...]:
    """Return min_epochs·eta^k below `epochs`, and `epochs` itself.

    A power that lies within a factor √eta of the end is left out: it would
    decide a promotion that saves next to nothing (27 of 30 epochs).

    Raises:
        ConfigError: if `min_epochs` is not between 1 and `epochs`, or `eta` below 2.
    """
    if not 1 <= min_epochs <= epochs:
        raise ConfigError(
            f"scheduler asha: min_epochs {min_epochs} must lie between 1 and the "
            f"{epochs} epochs of a full trial (configuration.training.epochs)"
        )
    if eta < 2:
        raise ConfigError(
            f"scheduler asha: eta {eta} must be 2 or more: one trial in eta goes on"
        )
    rungs = []
    rung = min_epochs
    while rung * math.sqrt(eta) <= epochs:
        rungs.append(rung)
        rung *= eta
    return (*rungs, epochs)


LEAST_TRIALS = 100
"""In a smaller study every waiting trial keeps its checkpoint: there is little to gain,
and places change."""


@dataclass(frozen=True)
class Halving:
    """Where successive halving compares trials, and how many of them go on."""

    epochs: int
    """Length of a full trial."""
    min_epochs: int
    """The first rung."""
    eta: int = 3
    """One in eta of a rung goes on to the next."""
    levels: tuple[int, ...] = ()
    """Rungs that a fidelity other than epochs gives; () are geometric ones."""

    def __post_init__(self) -> None:
        geometric_rungs(self.min_epochs, self.eta, self.epochs)

    @property
    def rungs(self) -> tuple[int, ...]:
        """The levels, else see `geometric_rungs`."""
        return self.levels or geometric_rungs(self.min_epochs, self.eta, self.epochs)


@dataclass(frozen=True)
class Asha(Halving):
    """Promotion-type successive halving over the epochs of a trial.

    A rung is ranked by the objective there, ties by trial number. Trials without a
    finite objective at a rung, because they failed before it, have no place in it:
    they neither get nor give promotions.
    """

    def next_segment(
        self, records: Sequence[TrialRecord], *, may_create: bool = True
    ) -> Decision:
        """Return an interrupted trial, else a promotion, else a new trial.

        When no trial may be created, whoever is among the best now is promoted: the
        slot has nothing better to do. If, besides, nothing runs and no trial has
        reached the last rung (a study of fewer than eta trials, say), the best of the
        deepest rung is promoted beyond the algorithm, so that a study ends with a full
        trial.
        """
        interrupted = continue_interrupted(records, self.rungs[0])
        if interrupted is not None:
            return interrupted
        promotion = self._promotion(records, wait_for_others=may_create)
        if promotion is not None:
            return promotion
        if may_create:
            return NewTrial(self.rungs[0])
        return self._last_promotion(records)

    def without_prospect(
        self, records: Sequence[TrialRecord], trials: int | None
    ) -> tuple[int, ...]:
        """Return who would not be promoted if the study became twice as large.

        A place in a rung is never won back: whoever comes later can only push others
        down. In a study of at most `m` trials none beyond place `m // eta` of the first
        rung is promoted, `m // eta²` of the second, and so on. Here `m` is twice the
        trials of the budget or, where there are more or there is no such limit, twice
        the trials so far, and never below LEAST_TRIALS. The best of a rung is never
        without a prospect.
        """
        most = max(2 * (trials or 0), 2 * len(records), LEAST_TRIALS)
        found: list[int] = []
        for rung in self.rungs[:-1]:
            sound = [entry for entry in _at(records, rung) if not _failed(entry[2])]
            places = max(1, max(most, len(sound)) // self.eta)
            if len(sound) > places:
                last = sorted(entry[:2] for entry in sound)[places - 1]
                found += [
                    entry[1]
                    for entry in sound
                    if entry[:2] > last and _waits_at(entry[2], rung)
                ]
            most = places
        return tuple(found)

    def stops(self, records: Sequence[TrialRecord], number: int) -> bool:  # noqa: ARG002
        """Return False: a trial that waits can be promoted as the rung grows."""
        return False

    def _promotion(
        self, records: Sequence[TrialRecord], *, wait_for_others: bool
    ) -> Continue | None:
        pairs = list(zip(self.rungs, self.rungs[1:], strict=False))
        for rung, following in reversed(pairs):
            there = _at(records, rung)
            best = _best_waiting(there, rung)
            if best is None:
                continue
            coming = _on_their_way_to(rung, records) if wait_for_others else 0
            better = sum(entry[:2] < best for entry in there) + coming
            if better < (len(there) + coming) // self.eta:
                return Continue(best[1], following)
        return None

    def _last_promotion(self, records: Sequence[TrialRecord]) -> Continue | None:
        if any(record.running for record in records):
            return None
        if _at(records, self.epochs):
            return None
        for rung, following in reversed(
            list(zip(self.rungs, self.rungs[1:], strict=False))
        ):
            best = _best_waiting(_at(records, rung), rung)
            if best is not None:
                return Continue(best[1], following)
        return None


_Entry = tuple[float, int, TrialRecord]
"""Objective at a rung, number, record: in the order of the first two, best first."""


def _at(records: Sequence[TrialRecord], rung: int) -> list[_Entry]:
    """Return the trials with a finite objective at `rung`, in order of number."""
    return [
        (record.rung_values[rung], record.number, record)
        for record in records
        if rung in record.rung_values and math.isfinite(record.rung_values[rung])
    ]


def _on_their_way_to(rung: int, records: Sequence[TrialRecord]) -> int:
    """Return how many trials train up to `rung` now and have not reached it."""
    return sum(
        record.running and record.last_epoch < rung <= (record.target_epoch or 0)
        for record in records
    )


def _best_waiting(there: Sequence[_Entry], rung: int) -> tuple[float, int] | None:
    """Return objective and number of the best trial that waits; None without any."""
    waiting = [entry[:2] for entry in there if _waits_at(entry[2], rung)]
    return min(waiting, default=None)


def _failed(record: TrialRecord) -> bool:
    return record.outcome is not None and record.outcome.is_failure


def _waits_at(record: TrialRecord, rung: int) -> bool:
    """Return whether `record` is paused at `rung`, not promoted beyond it yet."""
    return record.outcome is None and not record.running and record.last_epoch == rung
