"""Decides what runs next, from the journal alone; knows nothing of Ray.

Every decision is a function of the study's state, and every answer is in the journal
before it is given. A driver that is killed anywhere is therefore followed by one that
goes on as if nothing had happened; with one trial at a time it proposes the very same
configurations.
"""

from collections.abc import Callable, Mapping

from search.engine.budget import (
    Spent,
    epochs_are_up,
    may_create,
    time_is_up,
)
from search.engine.hopeless import is_hopeless
from search.engine.progress import ending_of, given_up, start_of, unclosed_trial
from search.engine.rules import Engine, Rules
from search.engine.schedulers import (
    Continue,
    Decision,
    NewTrial,
    continue_interrupted,
)
from search.engine.searchers import is_exhausted, next_proposal
from search.engine.segment import Answer, EndReason, Segment
from search.journal import (
    OBJECTIVE,
    CheckpointGivenUp,
    EpochDone,
    Event,
    Journal,
    SegmentFailed,
    SegmentFinished,
    SessionEnded,
    SessionStarted,
    StudyState,
    TrialCreated,
    TrialRecord,
    objective_at,
)
from search.journal.events import Metrics
from search.trial.messages import FailedMessage
from search.trial.outcome import Outcome


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
        unclosed = unclosed_trial(self._state.trials)
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
        """Return what runs next; a segment that was handed out once always goes on.

        Where all is hopeless nothing does: what waits at a rung would fail as well.
        """
        scheduler, budget = self._engine.scheduler, self._rules.budget
        if self._is_hopeless:
            return None
        if epochs_are_up(budget, self._state):
            return continue_interrupted(self._state.trials, scheduler.rungs[0])
        may = may_create(budget, self._state) and not self._is_exhausted
        return scheduler.next_segment(self._state.trials, may_create=may)

    @property
    def _inside(self) -> list[TrialRecord]:
        """The trials but those outside, which have the parameters of another space."""
        return [t for t in self._state.trials if t.outcome is not Outcome.OUTSIDE]

    @property
    def _is_exhausted(self) -> bool:
        return is_exhausted(self._engine.space, self._inside)

    @property
    def is_out_of_time(self) -> bool:
        """Whether wall clock or GPU-hours are used up, so that workers are ended."""
        return time_is_up(self._rules.budget, self._state, self._elapsed) is not None

    @property
    def end_reason(self) -> EndReason:
        """What is used up, when there is nothing to start any more."""
        budget, state = self._rules.budget, self._state
        out_of_time = time_is_up(budget, state, self._elapsed)
        if out_of_time is not None:
            return out_of_time
        if self._is_hopeless:
            return EndReason.FAILURES
        if epochs_are_up(budget, state):
            return EndReason.EPOCHS
        may = may_create(budget, state)
        return EndReason.EXHAUSTED if may else EndReason.TRIALS

    @property
    def _is_hopeless(self) -> bool:
        return is_hopeless(self._state, self._journal.entries)

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

    def checkpoint_lost(self, segment: Segment, failure: FailedMessage) -> None:
        """Note that a segment's checkpoint cannot be read: its trial is trained anew.

        It is not to blame. Without a checkpoint it meets no such failure again.
        """
        if not self.is_current(segment):
            return
        message = f"lost its checkpoint and is trained anew: {failure.message}"
        words = {"outcome": Outcome.CANCELLED, "message": message}
        self.failed(segment, failure.model_copy(update=words))
        self._append(CheckpointGivenUp(trial=segment.trial))

    def end(self, reason: EndReason) -> None:
        """Close the session. Trials that wait at a rung, or were cut off, can go on."""
        self._append(SessionEnded(reason=reason.value))

    def is_current(self, segment: Segment) -> bool:
        """Return whether a worker has `segment`, as far as the journal knows."""
        record = self._state.trials[segment.trial]
        return record.running and record.attempts == segment.attempt

    def _create(self) -> TrialRecord:
        number = len(self._state.trials)
        proposal = next_proposal(
            self._engine.searcher,
            self._engine.space,
            self._inside,
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
        memory = self._engine.plan_memory(
            record.configuration, until_epoch, record.micro_batch
        )
        event = start_of(record, until_epoch, self._rules, memory)
        self._append(event)
        return Segment(
            trial=record.number,
            attempt=event.attempt,
            configuration=record.configuration,
            from_epoch=event.from_epoch,
            until_epoch=until_epoch,
            is_last=until_epoch >= self._rules.epochs,
            checkpoint=event.checkpoint,
            folder=event.folder,
            seconds_left=self._seconds_left_of(record.number),
            begins_after=event.begins_after,
            micro_batch=event.micro_batch,
            in_use=None if memory is None else memory.in_use,
            smallest=memory is not None and memory.smallest,
        )

    def _seconds_left_of(self, trial: int) -> float | None:
        if self._rules.timeout_seconds is None:
            return None
        return self._rules.timeout_seconds - self._state.details[trial].seconds

    def _settle(self, number: int) -> None:
        """Give a trial its outcome if the journal says that it has come to an end."""
        ending = ending_of(
            self._state, number, self._rules, self._engine.scheduler.stops
        )
        if ending is not None:
            self._append(ending)

    def _give_up_checkpoints(self) -> None:
        """Say which checkpoints nothing will go on from; the files go after that."""
        for number in given_up(self._state.trials, self._rules, self._engine.scheduler):
            self._append(CheckpointGivenUp(trial=number))

    def _append(self, event: Event) -> None:
        self._state = self._state.after(self._journal.append(event))
