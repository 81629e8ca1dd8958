"""Between conductor and workers: segments out as payloads, messages in as events."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from search.engine.conductor import Conductor
from search.engine.disk import remove_checkpoints
from search.engine.segment import Answer, Segment
from search.trial.failures import read_failure
from search.trial.messages import (
    EpochMessage,
    FailedMessage,
    FinishedMessage,
    read_message,
)
from search.trial.outcome import Outcome
from search.trial.payload import SegmentPayload
from sitenet_core.config.machine import oom_kills
from sitenet_core.errors import ConfigError, InfrastructureError

_log = logging.getLogger(__name__)

LOST_WORKER = "the worker process ended without a word (killed, or its machine gone)"
KILLED_FOR_MEMORY = "the worker process was killed because memory ran out"


KILLED_AT_SMALLEST = f"{KILLED_FOR_MEMORY}, with one crystal at a time"
EXPLAINS_SECONDS = 30.0
"""How long a kill can explain a lost worker. Ray tells of a dead one within 0.2 s
(measured, on two busy cores); while memory is short, taking a large process down can
take the kernel seconds."""


class MemoryKills:
    """Kills for want of memory in this control group, each told of once.

    Ray's workers are in the control group of the driver that started it. The kernel
    says nothing to whoever waits for a process that it kills, but it counts. It counts
    other processes too: a kill that no lost worker is explained by in time was one of
    those, and explains no worker that is lost later, for another reason.

    Args:
        count: returns how many there were so far; None where nobody counts.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        count: Callable[[], int | None] = oom_kills,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._clock = clock
        self._known = count() or 0
        self._seen: list[float] = []
        """When each kill was seen that explains nothing yet, ascending."""

    def look(self) -> None:
        """Note when there are new ones; to be called often."""
        now, count = self._clock(), self._count() or 0
        self._seen += [now] * (count - self._known)
        self._known = max(self._known, count)
        self._seen = [at for at in self._seen if now - at <= EXPLAINS_SECONDS]

    def another(self) -> bool:
        """Return whether a kill explains a worker that is found lost now.

        Whoever asks is told of it; it explains no other.
        """
        self.look()
        if not self._seen:
            return False
        # The latest: what happened just now, and nothing is left over for later.
        self._seen.pop()
        return True


@dataclass
class Desk:
    """Knows which segment each handle of the back end stands for."""

    conductor: Conductor
    folder: Path
    """Of the study."""
    payload_of: Callable[[Segment], SegmentPayload]
    """Raises ConfigError for a configuration that its family refuses."""
    kills: MemoryKills = field(default_factory=MemoryKills)
    """Tells whether a worker of this machine was killed for its memory."""
    error: InfrastructureError | None = None
    """What ended the session; the back end may wrap what it is told in words of its
    own."""
    _segments: dict[str, Segment] = field(default_factory=dict)
    _tidied: dict[int, tuple[object, ...]] = field(default_factory=dict)
    """Trial → the state in which its checkpoints were looked at last."""

    def next(self, handle: str) -> SegmentPayload | Answer:
        """Return what `handle` runs next, or why it does not run."""
        while True:
            segment = self.conductor.ask()
            if isinstance(segment, Answer):
                return segment
            try:
                payload = self.payload_of(segment)
            except ConfigError as error:
                self.conductor.segment_failed(
                    segment, Outcome.FAILED_CONFIGURATION, str(error)
                )
                continue
            self._segments[handle] = segment
            return payload

    def receive(self, handle: str, text: str) -> None:
        """Note what a worker said; a repeated or late message changes nothing."""
        segment = self._segments.get(handle)
        if segment is None:
            return
        message = read_message(text)
        if isinstance(message, EpochMessage):
            self.conductor.epoch_done(
                segment,
                message.epoch,
                message.metrics,
                self._relative(message.checkpoint),
            )
        elif isinstance(message, FinishedMessage):
            self.conductor.segment_finished(
                segment,
                self._relative(message.checkpoint),
                self._relative(message.bundle),
            )
        else:
            self._failed(segment, message)
        if not isinstance(message, EpochMessage):
            self.tidy()

    def ended(self, handle: str) -> None:
        """Note that the back end is done with `handle`, in whatever way.

        A segment that has not said how it ended was lost with its worker, unless the
        worker left its last words in the folder of the attempt.
        """
        segment = self._segments.pop(handle, None)
        if segment is None or not self.conductor.is_current(segment):
            return
        words = read_failure(self.folder / segment.folder)
        self._failed(segment, words or self._lost(segment))
        self.tidy()

    def _lost(self, segment: Segment) -> FailedMessage:
        if not self.kills.another():
            return FailedMessage(
                outcome=Outcome.FAILED_LOST_WORKER, message=LOST_WORKER
            )
        used = segment.in_use or segment.micro_batch
        if segment.smallest and not self._killed_before(segment):
            # Nothing less can be tried, and it may have been others who took the
            # memory. What says so in the journal is its micro-batch.
            return FailedMessage(
                outcome=Outcome.FAILED_LOST_WORKER,
                message=KILLED_AT_SMALLEST,
                micro_batch=used,
            )
        known = segment.micro_batch is not None
        return FailedMessage(
            outcome=Outcome.FAILED_OOM if known else Outcome.FAILED_LOST_WORKER,
            message=KILLED_FOR_MEMORY,
            micro_batch=used,
            smallest=segment.smallest,
        )

    def _killed_before(self, segment: Segment) -> bool:
        """Return whether the attempt before was the first to be killed at its least."""
        failures = self.conductor.state.details[segment.trial].failures
        return any(
            failure.attempt == segment.attempt - 1
            and failure.kind is Outcome.FAILED_LOST_WORKER
            and failure.micro_batch is not None
            for failure in failures
        )

    def look(self) -> None:
        """Note what has happened to the memory of this machine; to be called often."""
        self.kills.look()

    def tidy(self) -> None:
        """Remove the checkpoints that the journal says nothing goes on from.

        At the start of a session this completes what a killed driver left undone. Of
        later calls only the trials that have changed take time.
        """
        for record in self.conductor.state.trials:
            state = (record.outcome, record.attempts, record.last_checkpoint)
            if record.running or self._tidied.get(record.number) == state:
                continue
            remove_checkpoints(self.folder / f"trials/{record.number:05d}", record)
            self._tidied[record.number] = state

    def _failed(self, segment: Segment, failure: FailedMessage) -> None:
        """Journal a failure; one that is no trial's fault ends the session.

        Raises:
            InfrastructureError: if the worker found the disk full, or the data away.
                Every other trial would find that too; this one goes on in the next
                session.
        """
        traceback = self._relative(failure.traceback)
        failure = failure.model_copy(update={"traceback": traceback})
        if failure.checkpoint_lost and segment.checkpoint is not None:
            self.conductor.checkpoint_lost(segment, failure)
            return
        self.conductor.failed(segment, failure)
        if failure.outcome is Outcome.CANCELLED:
            raise InfrastructureError(
                f"trial {segment.trial} {failure.message}; nothing that was finished "
                "is lost: mend that (a full disk needs room), then go on with --resume"
            )

    def _relative(self, path: str | None) -> str | None:
        if path is None or not Path(path).is_relative_to(self.folder):
            return path
        return str(Path(path).relative_to(self.folder))
