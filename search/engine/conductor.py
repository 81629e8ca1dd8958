"""Decides what runs next, from the journal alone; knows nothing of Ray.

Every decision is a function of the study's state, and every answer is in the journal
before it is given. A driver that is killed anywhere is therefore followed by one that
goes on as if nothing had happened; with one trial at a time it proposes the very same
configurations.
"""

from collections.abc import Callable
from dataclasses import dataclass

from search.engine.schedulers import Continue, NewTrial, Scheduler
from search.engine.searchers import NO_EARLIER, Earlier, Searcher, next_proposal
from search.engine.segment import Answer, EndReason, Segment
from search.journal import (
    OBJECTIVE,
    EpochDone,
    Event,
    Journal,
    SegmentFailed,
    SegmentFinished,
    SegmentStarted,
    SessionEnded,
    SessionStarted,
    StudyState,
    TrialCreated,
    TrialFinished,
    TrialRecord,
    objective_at,
)
from search.journal.events import Metrics
from search.space import Space
from search.trial.outcome import Outcome


@dataclass(frozen=True)
class Rules:
    """The numbers of a study file that decide what the conductor does."""

    trials: int
    epochs: int
    """Epochs of a complete trial."""
    seed: int = 0
    concurrent: int = 1
    wall_clock_seconds: float | None = None
    timeout_seconds: float | None = None
    max_lost_worker_retries: int = 2


@dataclass(frozen=True)
class Engine:
    """Where proposals come from and who may go on."""

    space: Space
    searcher: Searcher
    scheduler: Scheduler
    earlier: Earlier = NO_EARLIER
    """What earlier studies tell; fixed while the study lasts."""


class Conductor:
    """The only writer of a study's journal while it is searched."""

    def __init__(self, journal: Journal, engine: Engine, rules: Rules) -> None:
        self._journal = journal
        self._engine = engine
        self._rules = rules
        self._state = StudyState.of(journal.entries)
        self._monotonic: Callable[[], float] = journal.clock.monotonic
        self._began = self._monotonic()
        self._earlier_seconds = self._state.seconds

    @property
    def state(self) -> StudyState:
        """What the journal says now."""
        return self._state

    @property
    def seconds_left(self) -> float | None:
        """Wall-clock seconds that the budget has left; None without such a budget."""
        if self._rules.wall_clock_seconds is None:
            return None
        spent = self._earlier_seconds + self._monotonic() - self._began
        return self._rules.wall_clock_seconds - spent

    @property
    def running(self) -> list[TrialRecord]:
        """Trials of which a worker has a segment."""
        return [t for t in self._state.trials if t.running]

    def begin(self, host: str, pid: int, versions: dict[str, str]) -> None:
        """Open a session; give their outcome to trials whose driver died before it."""
        session = self._state.session + 1
        self._append(
            SessionStarted(session=session, host=host, pid=pid, versions=versions)
        )
        self._began = self._monotonic()
        for record in self._state.trials:
            self._settle(record.number)

    def ask(self) -> Segment | Answer:
        """Return the next segment, journalled as started, or why there is none."""
        if self.is_out_of_time:
            return Answer.DONE
        if len(self.running) >= self._rules.concurrent:
            return Answer.WAIT
        unclosed = self._unclosed()
        if unclosed is not None:
            return self._start(unclosed, unclosed.last_epoch)
        decision = self._engine.scheduler.next_segment(
            self._state.trials,
            may_create=len(self._state.trials) < self._rules.trials,
        )
        if isinstance(decision, Continue):
            record = self._state.trials[decision.trial]
            return self._start(record, decision.until_epoch)
        if isinstance(decision, NewTrial):
            return self._start(self._create(), decision.until_epoch)
        return Answer.WAIT if self.running else Answer.DONE

    @property
    def is_out_of_time(self) -> bool:
        """Whether the wall-clock budget is used up."""
        left = self.seconds_left
        return left is not None and left <= 0

    def epoch_done(
        self, segment: Segment, epoch: int, metrics: Metrics, checkpoint: str | None
    ) -> None:
        """Note an epoch of a running segment; one that was given up is ignored."""
        if self._is_current(segment):
            self._append(
                EpochDone(
                    trial=segment.trial,
                    attempt=segment.attempt,
                    epoch=epoch,
                    metrics=metrics,
                    checkpoint=checkpoint,
                )
            )

    def segment_finished(
        self, segment: Segment, checkpoint: str | None, bundle: str | None
    ) -> None:
        """Note that a segment reached its target; the trial may be complete."""
        if not self._is_current(segment):
            return
        values = self._state.trials[segment.trial].epoch_values
        if objective_at(values, segment.until_epoch) is None:
            message = f"no {OBJECTIVE} up to epoch {segment.until_epoch}"
            self.segment_failed(segment, Outcome.FAILED_DATA, message)
            return
        self._append(
            SegmentFinished(
                trial=segment.trial,
                attempt=segment.attempt,
                epoch=segment.until_epoch,
                checkpoint=checkpoint,
                bundle=bundle,
            )
        )
        self._settle(segment.trial)

    def segment_failed(
        self,
        segment: Segment,
        kind: Outcome,
        message: str,
        traceback: str | None = None,
    ) -> None:
        """Note a failure; a lost worker's trial goes on as often as the rules say."""
        if self._is_current(segment):
            self._append(
                SegmentFailed(
                    trial=segment.trial,
                    attempt=segment.attempt,
                    kind=kind,
                    message=message,
                    traceback=traceback,
                )
            )
            self._settle(segment.trial)

    def end(self, reason: EndReason) -> None:
        """Close the session.

        When the trials are used up, those that wait at a rung are stopped there. After
        a signal or at the end of the time they stay open and can go on.
        """
        if reason is EndReason.TRIALS:
            for number in self._engine.scheduler.stopped(self._state.trials):
                self._finish(self._state.trials[number], Outcome.STOPPED, "")
        self._append(SessionEnded(reason=reason.value))

    def _is_current(self, segment: Segment) -> bool:
        record = self._state.trials[segment.trial]
        return record.running and record.attempts == segment.attempt

    def _unclosed(self) -> TrialRecord | None:
        """Return a trial that did its last epoch, but not what comes after it.

        Its driver was killed between the epoch and the end of the segment. A segment
        without an epoch closes it: the value of the rung, and the bundle.
        """
        for record in self._state.trials:
            if (
                record.outcome is None
                and not record.running
                and record.target_epoch == record.last_epoch
                and record.target_epoch not in record.rung_values
            ):
                return record
        return None

    def _create(self) -> TrialRecord:
        number = len(self._state.trials)
        proposal = next_proposal(
            self._engine.searcher,
            self._engine.space,
            self._state.trials,
            trial=number,
            seed=self._rules.seed,
            earlier=self._engine.earlier,
        )
        self._append(
            TrialCreated(
                trial=number,
                configuration=dict(proposal.configuration),
                source=proposal.source,
                seed=self._rules.seed,
            )
        )
        return self._state.trials[number]

    def _start(self, record: TrialRecord, until_epoch: int) -> Segment:
        attempt = record.attempts + 1
        event = SegmentStarted(
            trial=record.number,
            attempt=attempt,
            from_epoch=record.last_epoch if record.last_checkpoint else 0,
            until_epoch=until_epoch,
            checkpoint=record.last_checkpoint,
            folder=f"trials/{record.number:05d}/attempt-{attempt}",
        )
        self._append(event)
        return Segment(
            trial=record.number,
            attempt=attempt,
            configuration=record.configuration,
            from_epoch=event.from_epoch,
            until_epoch=until_epoch,
            is_last=until_epoch >= self._rules.epochs,
            checkpoint=event.checkpoint,
            folder=event.folder,
            seconds_left=self._seconds_left_of(record.number),
        )

    def _seconds_left_of(self, trial: int) -> float | None:
        if self._rules.timeout_seconds is None:
            return None
        return self._rules.timeout_seconds - self._state.details[trial].seconds

    def _settle(self, number: int) -> None:
        """Give a trial its outcome if the journal says that it has come to an end."""
        record, details = self._state.trials[number], self._state.details[number]
        if record.outcome is not None or record.running:
            return
        failure = details.failures[-1] if details.failures else None
        if failure is not None and failure.attempt == record.attempts:
            retried = failure.kind is Outcome.CANCELLED or (
                failure.kind is Outcome.FAILED_LOST_WORKER
                and details.lost_workers <= self._rules.max_lost_worker_retries
            )
            if not retried:
                self._finish(record, failure.kind, failure.message)
        elif self._rules.epochs in record.rung_values:
            self._finish(record, Outcome.COMPLETED, "")

    def _finish(self, record: TrialRecord, outcome: Outcome, message: str) -> None:
        self._append(
            TrialFinished(
                trial=record.number,
                outcome=outcome,
                epoch=record.last_epoch,
                value=record.value if outcome.is_finished else None,
                bundle=record.bundle,
                message=message,
            )
        )

    def _append(self, event: Event) -> None:
        self._state = self._state.after(self._journal.append(event))
