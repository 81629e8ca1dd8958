"""How a trial begins a segment, comes to its end and loses its checkpoint.

Functions of the study's state alone: what they return is journalled by the conductor.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from search.engine.rules import Rules
from search.engine.schedulers import Scheduler
from search.journal import (
    SegmentFailed,
    SegmentStarted,
    StudyState,
    TrialFinished,
    TrialRecord,
)
from search.trial.failures import INFEASIBLE
from search.trial.outcome import Outcome

if TYPE_CHECKING:
    from sitenet_core.training.sizing import MemoryPlan

Stops = Callable[[Sequence[TrialRecord], int], bool]
"""See `Scheduler.stops`."""


def start_of(
    record: TrialRecord, until_epoch: int, rules: Rules, memory: "MemoryPlan | None"
) -> SegmentStarted:
    """Return how the next segment of a trial begins.

    Args:
        record: of the trial.
        until_epoch: where the segment ends.
        rules: of the study.
        memory: how its batches are divided; None leaves that to the worker.
    """
    attempt = record.attempts + 1
    begins_after = max((e for e in rules.anew_after if e < until_epoch), default=0)
    checkpoint = record.last_checkpoint
    if record.last_epoch <= begins_after:
        checkpoint = None
    return SegmentStarted(
        trial=record.number,
        attempt=attempt,
        from_epoch=begins_after if checkpoint is None else record.last_epoch,
        until_epoch=until_epoch,
        begins_after=begins_after,
        checkpoint=checkpoint,
        folder=f"trials/{record.number:05d}/attempt-{attempt}",
        gpus=rules.gpus,
        micro_batch=record.micro_batch if memory is None else memory.micro_batch,
        predicted_bytes=None if memory is None else memory.predicted_bytes,
        memory_bytes=None if memory is None else memory.memory_bytes,
    )


def unclosed_trial(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return a trial that did its last epoch, but not what comes after it.

    Its driver was killed between the epoch and the end of the segment. A segment
    without an epoch closes it: the value of the rung, and the bundle.
    """
    for record in trials:
        if (
            record.outcome is None
            and not record.running
            and record.target_epoch == record.last_epoch
            and record.target_epoch not in record.rung_values
        ):
            return record
    return None


def ending_of(
    state: StudyState, number: int, rules: Rules, stops: Stops
) -> TrialFinished | None:
    """Return the outcome of a trial that has come to an end; None if it has not."""
    record, details = state.trials[number], state.details[number]
    if record.outcome is not None or record.running:
        return None
    failure = details.failures[-1] if details.failures else None
    if failure is not None and failure.attempt == record.attempts:
        if _goes_on(failure, details.lost_workers, rules):
            return None
        words = f"{INFEASIBLE}: " * failure.smallest + failure.message
        return _finished(record, failure.kind, words)
    if rules.epochs in record.rung_values:
        return _finished(record, Outcome.COMPLETED)
    if record.waiting and stops(state.trials, number):
        return _finished(record, Outcome.STOPPED)
    return None


def given_up(
    trials: Sequence[TrialRecord], rules: Rules, scheduler: Scheduler
) -> tuple[int, ...]:
    """Return the trials from whose checkpoint nothing will go on, ascending."""
    numbers = set(scheduler.without_prospect(trials, rules.trials))
    # The next level of their fidelity starts from nothing.
    ended = rules.anew_after
    numbers |= {t.number for t in trials if t.waiting and t.last_epoch in ended}
    return tuple(n for n in sorted(numbers) if trials[n].last_checkpoint is not None)


def _goes_on(failure: SegmentFailed, lost_workers: int, rules: Rules) -> bool:
    if failure.kind is Outcome.FAILED_LOST_WORKER:
        if failure.micro_batch is not None:
            # Killed for memory with the least at once, for the first time (see `Desk`).
            return True
        return lost_workers <= rules.max_lost_worker_retries
    return failure.kind is Outcome.CANCELLED or failure.halved is not None


def _finished(
    record: TrialRecord, outcome: Outcome, message: str = ""
) -> TrialFinished:
    return TrialFinished(
        trial=record.number,
        outcome=outcome,
        epoch=record.last_epoch,
        value=record.value if outcome.is_finished else None,
        bundle=record.bundle,
        message=message,
    )
