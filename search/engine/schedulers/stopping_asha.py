"""Asynchronous successive halving by stopping.

The variant of ASHA that Ray Tune and Syne Tune run (Li et al., arXiv:1810.05934; Klein
et al., *Model-based Asynchronous Hyperparameter and Neural Architecture Search*,
arXiv:2003.10865, Section 3.1): a trial that reaches a rung goes straight on if it is
among the best 1/eta of those that reached it up to then, and is stopped for good
otherwise. The best so far always goes on, so that the first trial of a study is trained
to its end.

Beside promotion it starts fewer trials and keeps none waiting; while a rung holds few
trials it errs more often, in either direction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.engine.schedulers.asha import Halving
from search.engine.schedulers.protocol import (
    Continue,
    Decision,
    NewTrial,
    continue_interrupted,
)
from search.journal.records import TrialRecord


@dataclass(frozen=True)
class StoppingAsha(Halving):
    """Stopping-type successive halving over the epochs of a trial."""

    def next_segment(
        self, records: Sequence[TrialRecord], *, may_create: bool = True
    ) -> Decision:
        """Return an interrupted trial, else one that passed its rung, else a new one.

        A trial that waits at a rung has passed it: otherwise it would be stopped.
        """
        interrupted = continue_interrupted(records, self.rungs[0])
        if interrupted is not None:
            return interrupted
        passed = [r for r in records if r.waiting and r.last_epoch < self.epochs]
        if passed:
            deepest = max(passed, key=lambda r: (r.last_epoch, -r.number))
            following = min(r for r in self.rungs if r > deepest.last_epoch)
            return Continue(deepest.number, following)
        return NewTrial(self.rungs[0]) if may_create else None

    def without_prospect(
        self,
        records: Sequence[TrialRecord],  # noqa: ARG002
        trials: int | None,  # noqa: ARG002
    ) -> tuple[int, ...]:
        """Return none: whoever waits has passed its rung."""
        return ()

    def stops(self, records: Sequence[TrialRecord], number: int) -> bool:
        """Return whether a trial was not among the best when it reached its rung.

        Trials that reached the rung later have no say: whenever this is asked, after a
        kill too, the answer is the same.
        """
        trial = next(r for r in records if r.number == number)
        rung = trial.last_epoch
        if not trial.waiting or rung >= self.epochs:
            return False
        there = [r for r in records if _before(r, trial, rung)]
        ranked = sorted((r.rung_values[rung], r.number) for r in there)
        place = ranked.index((trial.rung_values[rung], number))
        return place >= max(1, len(ranked) // self.eta)


def _before(record: TrialRecord, trial: TrialRecord, rung: int) -> bool:
    """Return whether `record` reached `rung` no later than `trial`, with a value."""
    if not math.isfinite(record.rung_values.get(rung, math.nan)):
        return False
    return record.arrivals.get(rung, 0) <= trial.arrivals.get(rung, 0)
