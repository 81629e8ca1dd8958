"""What one event does to the trial that it is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from search.journal.events import (
    CheckpointGivenUp,
    EpochDone,
    Event,
    Metrics,
    SegmentFailed,
    SegmentFinished,
    SegmentStarted,
    TrialCreated,
    TrialFinished,
)
from search.journal.journal import Entry
from search.journal.records import TrialRecord, objective_at
from search.trial.outcome import Outcome

OBJECTIVE = "val_mae"
"""The metric that every study minimises."""


@dataclass(frozen=True)
class TrialDetails:
    """What reports want to know of a trial and no decision needs."""

    created: str = ""
    """ISO 8601, UTC."""
    ended: str | None = None
    ended_at: int = 0
    """Number of the event that ended it: orders trials where clocks were set back."""
    curve: Mapping[int, Metrics] = field(default_factory=dict)
    """Epoch → everything that was measured in it."""
    folder: str | None = None
    """Folder of the current attempt, relative to the study's folder."""
    lost_workers: int = 0
    repeated_epochs: int = 0
    """Epochs of earlier attempts that a later one, without their checkpoint, does not
    build on: trained, and no part of the trial."""
    began: float = 0.0
    """Seconds from the start of the session to the start of the current segment."""
    gpus: float = 0.0
    """GPUs of the current segment."""
    micro_batch: int | None = None
    """Largest micro-batch of the latest segment; None where the worker decided."""
    failures: tuple[SegmentFailed, ...] = ()
    predicted_bytes: int | None = None
    """Peak of memory that the latest segment was expected to have."""
    memory_bytes: int | None = None
    """Memory that it may use."""

    @property
    def halvings(self) -> int:
        """How often the micro-batch was halved for want of memory."""
        return sum(failure.halved is not None for failure in self.failures)

    @property
    def peak_bytes(self) -> int | None:
        """Largest memory that an epoch reported; None before the first."""
        peaks = [m.get("peak_bytes") for m in self.curve.values()]
        return max((int(peak) for peak in peaks if peak is not None), default=None)

    @property
    def seconds(self) -> float:
        """Training time of the epochs that count."""
        return sum(m.get("seconds") or 0.0 for m in self.curve.values())


TrialEvent = (
    TrialCreated
    | SegmentStarted
    | EpochDone
    | SegmentFinished
    | SegmentFailed
    | CheckpointGivenUp
    | TrialFinished
)
TRIAL_EVENTS = (
    TrialCreated,
    SegmentStarted,
    EpochDone,
    SegmentFinished,
    SegmentFailed,
    CheckpointGivenUp,
    TrialFinished,
)


def apply(
    record: TrialRecord, details: TrialDetails, event: Event, entry: Entry
) -> tuple[TrialRecord, TrialDetails]:
    """Return record and details of a trial after one event of its current attempt."""
    if isinstance(event, SegmentStarted):
        return _started(record, details, event, entry.elapsed)
    if isinstance(event, EpochDone):
        return _epoch(record, details, event)
    if isinstance(event, SegmentFinished):
        return _segment_finished(record, event), details
    if isinstance(event, SegmentFailed):
        lost = int(event.kind is Outcome.FAILED_LOST_WORKER)
        details = replace(
            details,
            failures=(*details.failures, event),
            lost_workers=details.lost_workers + lost,
        )
        return _failed(record, event), details
    if isinstance(event, CheckpointGivenUp):
        return replace(record, last_checkpoint=None), details
    if isinstance(event, TrialFinished):
        record = replace(
            record,
            outcome=event.outcome,
            bundle=event.bundle or record.bundle,
            message=event.message,
            running=False,
        )
        return record, replace(details, ended=entry.time, ended_at=entry.seq)
    return record, details


def _started(
    record: TrialRecord, details: TrialDetails, event: SegmentStarted, elapsed: float
) -> tuple[TrialRecord, TrialDetails]:
    """Forget the epochs beyond the checkpoint that the new attempt starts from.

    A rung that was reached stays reached, with the value it had then: a trial that is
    trained anew keeps its places.
    """
    keep = event.from_epoch
    repeated = max(record.last_epoch - keep, 0)
    record = replace(
        record,
        attempts=event.attempt,
        target_epoch=event.until_epoch,
        last_epoch=keep,
        last_checkpoint=event.checkpoint,
        begins_after=event.begins_after,
        running=True,
        epoch_values={e: v for e, v in record.epoch_values.items() if e <= keep},
    )
    curve = {e: m for e, m in details.curve.items() if e <= keep}
    details = replace(
        details,
        curve=curve,
        folder=event.folder,
        repeated_epochs=details.repeated_epochs + repeated,
        began=elapsed,
        gpus=event.gpus,
        micro_batch=event.micro_batch,
        predicted_bytes=event.predicted_bytes,
        memory_bytes=event.memory_bytes,
    )
    return record, details


def _failed(record: TrialRecord, event: SegmentFailed) -> TrialRecord:
    most = event.halved or record.micro_batch
    return replace(record, running=False, message=event.message, micro_batch=most)


def _epoch(
    record: TrialRecord, details: TrialDetails, event: EpochDone
) -> tuple[TrialRecord, TrialDetails]:
    values = dict(record.epoch_values)
    value = event.metrics.get(OBJECTIVE)
    if value is not None:
        values[event.epoch] = float(value)
    record = replace(
        record,
        epoch_values=values,
        last_epoch=max(record.last_epoch, event.epoch),
        last_checkpoint=event.checkpoint or record.last_checkpoint,
    )
    curve = {**details.curve, event.epoch: event.metrics}
    return record, replace(details, curve=curve)


def _segment_finished(record: TrialRecord, event: SegmentFinished) -> TrialRecord:
    rungs = dict(record.rung_values)
    value = objective_at(record.epoch_values, event.epoch, record.begins_after)
    if value is not None:
        rungs[event.epoch] = value
    return replace(
        record,
        rung_values=rungs,
        last_epoch=event.epoch,
        last_checkpoint=event.checkpoint or record.last_checkpoint,
        bundle=event.bundle or record.bundle,
        running=False,
        # What went wrong on the way is mended.
        message="",
    )
