"""Decides what runs next, from the journal alone; knows nothing of Ray.

Every decision is a function of the study's state, and every answer is in the journal
before it is given. A driver that is killed anywhere is therefore followed by one that
goes on as if nothing had happened; with one trial at a time it proposes the very same
configurations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.engine.budget import (
    Budget,
    Spent,
    epochs_are_up,
    may_create,
    time_is_up,
)
from search.engine.schedulers import (
    Continue,
    Decision,
    NewTrial,
    Scheduler,
    continue_interrupted,
)
from search.engine.searchers import NO_EARLIER, Earlier, Searcher, next_proposal
from search.engine.segment import Answer, EndReason, Segment
from search.journal import (
    OBJECTIVE,
    CheckpointGivenUp,
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
from search.space import FlatConfiguration, Space
from search.trial.failures import INFEASIBLE
from search.trial.messages import FailedMessage
from search.trial.outcome import Outcome

if TYPE_CHECKING:
    from sitenet_core.training.sizing import MemoryPlan

PlanMemory = Callable[[FlatConfiguration, int, int | None], "MemoryPlan | None"]
"""(configuration, target epoch, largest micro-batch that it may have) → how a segment
is divided; None where nothing is known of that."""


@dataclass(frozen=True)
class Rules:
    """The numbers of a study file that decide what the conductor does."""

    trials: int | None
    """Trials of the budget; None: other budgets end the study."""
    epochs: int
    """Epochs of a complete trial, all levels of its fidelity together."""
    anew_after: tuple[int, ...] = ()
    """Epochs after which a trial is trained anew, at the next level."""
    seed: int = 0
    concurrent: int = 1
    epoch_budget: int | None = None
    """Epochs of all trials together."""
    wall_clock_seconds: float | None = None
    gpu_seconds: float | None = None
    gpus: float = 0
    """GPUs of one segment."""
    timeout_seconds: float | None = None
    max_lost_worker_retries: int = 2

    @property
    def budget(self) -> Budget:
        """When the study ends."""
        return Budget(
            self.trials, self.epoch_budget, self.wall_clock_seconds, self.gpu_seconds
        )


@dataclass(frozen=True)
class Engine:
    """Where proposals come from and who may go on."""

    space: Space
    searcher: Searcher
    scheduler: Scheduler
    earlier: Earlier = NO_EARLIER
    """What earlier studies tell; fixed while the study lasts."""
    plan_memory: PlanMemory = lambda _configuration, _until, _most: None
    """Asked before each segment."""


class Conductor:
    """The only writer of a study's journal while it is searched."""

    def __init__(self, journal: Journal, engine: Engine, rules: Rules) -> None:
        self._journal = journal
        self._engine = engine
        self._rules = rules
        self._state = StudyState.of(journal.entries)
        self._monotonic: Callable[[], float] = journal.clock.monotonic
        self._began = self._monotonic()

    @property
    def state(self) -> StudyState:
        """What the journal says now."""
        return self._state

    @property
    def spent(self) -> Spent:
        """What the study has used of its budget up to now."""
        return Spent.of(self._state, self._elapsed)

    @property
    def _elapsed(self) -> float:
        return self._monotonic() - self._began

    @property
    def running(self) -> list[TrialRecord]:
        """Trials of which a worker has a segment."""
        return [t for t in self._state.trials if t.running]

    def begin(
        self,
        host: str,
        pid: int,
        versions: dict[str, str],
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Open a session; give their outcome to trials whose driver died before it.

        Args:
            host: name of this machine.
            pid: of this process.
            versions: of what can change numbers.
            digests: `data_digest` and `split_digest`, where the study has data.
        """
        session = self._state.session + 1
        self._append(
            SessionStarted(
                session=session,
                host=host,
                pid=pid,
                versions=versions,
                data_digest=(digests or {}).get("data_digest"),
                split_digest=(digests or {}).get("split_digest"),
            )
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
        decision = self._decision()
        if isinstance(decision, Continue):
            record = self._state.trials[decision.trial]
            return self._start(record, decision.until_epoch)
        if isinstance(decision, NewTrial):
            return self._start(self._create(), decision.until_epoch)
        return Answer.WAIT if self.running else Answer.DONE

    def _decision(self) -> Decision:
        """Return what runs next; a segment that was handed out once always goes on."""
        scheduler, budget = self._engine.scheduler, self._rules.budget
        if epochs_are_up(budget, self._state):
            return continue_interrupted(self._state.trials, scheduler.rungs[0])
        return scheduler.next_segment(
            self._state.trials, may_create=may_create(budget, self._state)
        )

    @property
    def is_out_of_time(self) -> bool:
        """Whether wall clock or GPU-hours are used up, so that workers are ended."""
        return time_is_up(self._rules.budget, self._state, self._elapsed) is not None

    @property
    def end_reason(self) -> EndReason:
        """Which budget is used up, when there is nothing to start any more."""
        budget, state = self._rules.budget, self._state
        used_up = EndReason.EPOCHS if epochs_are_up(budget, state) else EndReason.TRIALS
        return time_is_up(budget, state, self._elapsed) or used_up

    def epoch_done(
        self, segment: Segment, epoch: int, metrics: Metrics, checkpoint: str | None
    ) -> None:
        """Note an epoch of a running segment; one that was given up is ignored."""
        if self.is_current(segment):
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
        if not self.is_current(segment):
            return
        values = self._state.trials[segment.trial].epoch_values
        until, begins_after = segment.until_epoch, segment.begins_after
        if objective_at(values, until, begins_after) is None:
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
        self._give_up_checkpoints()

    def segment_failed(
        self,
        segment: Segment,
        kind: Outcome,
        message: str,
        traceback: str | None = None,
    ) -> None:
        """Note a failure; a lost worker's trial goes on as often as the rules say."""
        failure = FailedMessage(outcome=kind, message=message, traceback=traceback)
        self.failed(segment, failure)

    def failed(self, segment: Segment, failure: FailedMessage) -> None:
        """Note a failure as the worker tells it, its paths the study's.

        A trial that ran out of memory goes on with half as much at once.
        """
        if self.is_current(segment):
            self._append(
                SegmentFailed(
                    trial=segment.trial,
                    attempt=segment.attempt,
                    kind=failure.outcome,
                    message=failure.message,
                    traceback=failure.traceback,
                    micro_batch=failure.micro_batch,
                    smallest=failure.smallest,
                )
            )
            self._settle(segment.trial)

    def end(self, reason: EndReason) -> None:
        """Close the session. Trials that wait at a rung, or were cut off, can go on."""
        self._append(SessionEnded(reason=reason.value))

    def is_current(self, segment: Segment) -> bool:
        """Return whether a worker has `segment`, as far as the journal knows."""
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
            # Those outside have the parameters of another space.
            [t for t in self._state.trials if t.outcome is not Outcome.OUTSIDE],
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
        memory = self._engine.plan_memory(
            record.configuration, until_epoch, record.micro_batch
        )
        begins_after = max(
            (e for e in self._rules.anew_after if e < until_epoch), default=0
        )
        checkpoint = record.last_checkpoint
        if record.last_epoch <= begins_after:
            checkpoint = None
        event = SegmentStarted(
            trial=record.number,
            attempt=attempt,
            from_epoch=begins_after if checkpoint is None else record.last_epoch,
            until_epoch=until_epoch,
            begins_after=begins_after,
            checkpoint=checkpoint,
            folder=f"trials/{record.number:05d}/attempt-{attempt}",
            gpus=self._rules.gpus,
            micro_batch=record.micro_batch if memory is None else memory.micro_batch,
            predicted_bytes=None if memory is None else memory.predicted_bytes,
            memory_bytes=None if memory is None else memory.memory_bytes,
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
            begins_after=begins_after,
            micro_batch=event.micro_batch,
            smallest=memory is not None and memory.smallest,
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
            if not self._goes_on(failure, details.lost_workers):
                words = f"{INFEASIBLE}: " * failure.smallest + failure.message
                self._finish(record, failure.kind, words)
        elif self._rules.epochs in record.rung_values:
            self._finish(record, Outcome.COMPLETED, "")
        elif record.waiting and self._engine.scheduler.stops(
            self._state.trials, number
        ):
            self._finish(record, Outcome.STOPPED, "")

    def _goes_on(self, failure: SegmentFailed, lost_workers: int) -> bool:
        if failure.kind is Outcome.FAILED_LOST_WORKER:
            return lost_workers <= self._rules.max_lost_worker_retries
        return failure.kind is Outcome.CANCELLED or failure.halved is not None

    def _give_up_checkpoints(self) -> None:
        """Say which checkpoints nothing will go on from; the files go after that."""
        trials, rules = self._state.trials, self._rules
        given_up = set(self._engine.scheduler.without_prospect(trials, rules.trials))
        if rules.anew_after:
            # The next level of their fidelity starts from nothing.
            ended = rules.anew_after
            given_up |= {
                t.number for t in trials if t.waiting and t.last_epoch in ended
            }
        for number in sorted(given_up):
            if trials[number].last_checkpoint is not None:
                self._append(CheckpointGivenUp(trial=number))

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
