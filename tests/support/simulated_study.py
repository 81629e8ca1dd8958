"""Runs searcher and scheduler on analytic learning curves under a simulated clock."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from search.engine.schedulers import Continue, NewTrial, Scheduler
from search.engine.searchers import NO_EARLIER, Earlier, Searcher, next_proposal
from search.journal.records import TrialRecord, objective_at
from search.space.space import Space
from search.space.values import Value
from search.trial.outcome import Outcome

Curve = Callable[[Mapping[str, Value], int], float | Outcome]
"""(flat configuration, epoch) → validation value, or the failure that happens there."""


def toy_space(**parameters: dict[str, object]) -> Space:
    """A space without a family, for functions that are not trainings."""
    return Space.model_validate(
        {"name": "toy", "family": "toy", "preset": "none", "parameters": parameters}
    )


def square(**changes: object) -> Space:
    """Two numbers in [0, 1]."""
    axis = {"type": "float", "low": 0.0, "high": 1.0}
    space = toy_space(x=axis, y=axis)
    return space.model_copy(update=changes)


@dataclass(frozen=True)
class SimulatedStudy:
    space: Space
    curve: Curve
    searcher: Searcher
    scheduler: Scheduler
    seed: int = 0
    workers: int = 1
    earlier: Earlier = NO_EARLIER

    def run(
        self, *, trials: int, epoch_budget: int | None = None
    ) -> tuple[TrialRecord, ...]:
        """Return the records when the study is over, waiting trials still unfinished.

        No new trial is created above `trials` or once `epoch_budget` is handed out.
        """
        records: list[TrialRecord] = []
        running: list[tuple[int, int, int]] = []
        clock = spent = 0
        while True:
            free = len(running) < self.workers
            may_create = len(records) < trials and spent < (epoch_budget or 10**9)
            decision = (
                self.scheduler.next_segment(records, may_create=may_create)
                if free
                else None
            )
            if decision is not None:
                start, end, number = self._start(records, decision)
                spent += end - start
                heapq.heappush(running, (clock + end - start, number, end))
            elif running:
                clock, number, end = heapq.heappop(running)
                records[number] = self._train(records[number], end)
                self._judge(records, number)
            else:
                return tuple(records)

    def _start(
        self, records: list[TrialRecord], decision: Continue | NewTrial
    ) -> tuple[int, int, int]:
        if isinstance(decision, NewTrial):
            number = len(records)
            proposal = next_proposal(
                self.searcher,
                self.space,
                records,
                trial=number,
                seed=self.seed,
                earlier=self.earlier,
            )
            records.append(TrialRecord(number, proposal.configuration, proposal.source))
        else:
            number = decision.trial
        records[number] = replace(
            records[number], running=True, target_epoch=decision.until_epoch
        )
        return records[number].last_epoch, decision.until_epoch, number

    def _judge(self, records: list[TrialRecord], number: int) -> None:
        """Note when a trial reached its rung, and stop it if it is to be stopped."""
        rung = records[number].last_epoch
        earlier = sum(rung in r.arrivals for r in records)
        arrivals = {**records[number].arrivals, rung: earlier}
        records[number] = replace(records[number], arrivals=arrivals)
        if self.scheduler.stops(records, number):
            records[number] = replace(records[number], outcome=Outcome.STOPPED)

    def _train(self, record: TrialRecord, end: int) -> TrialRecord:
        values = dict(record.epoch_values)
        for epoch in range(record.last_epoch + 1, end + 1):
            value = self.curve(record.configuration, epoch)
            if isinstance(value, Outcome):
                return replace(record, running=False, outcome=value)
            values[epoch] = value
        objective = objective_at(values, end)
        rungs = dict(record.rung_values)
        if objective is not None:
            rungs[end] = objective
        finished = end == self.scheduler.rungs[-1]
        return replace(
            record,
            running=False,
            epoch_values=values,
            rung_values=rungs,
            last_epoch=end,
            outcome=Outcome.COMPLETED if finished else None,
        )


def best_value(records: tuple[TrialRecord, ...]) -> float:
    """Return the smallest value of any epoch of any trial."""
    return min(v for r in records for v in r.epoch_values.values())


def finished(
    number: int,
    configuration: Mapping[str, Value],
    value: float | None,
    *,
    epoch: int = 10,
    outcome: Outcome | None = Outcome.COMPLETED,
) -> TrialRecord:
    """A trial that ended at `epoch` with `value`, or without one."""
    values = {} if value is None else {epoch: value}
    return TrialRecord(
        number,
        configuration,
        outcome=outcome,
        rung_values=values,
        epoch_values=values,
        last_epoch=epoch,
        target_epoch=epoch,
    )
