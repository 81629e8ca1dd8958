"""The state of a study: a pure fold of its journal's events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from types import MappingProxyType

from search.journal.edits import Outside, after_edit
from search.journal.events import (
    Event,
    PromotionDivided,
    PromotionEpoch,
    PromotionFailed,
    PromotionRegistered,
    PromotionRerun,
    PromotionReruns,
    PromotionStarted,
    PromotionTested,
    PromotionTesting,
    PromotionTrained,
    SegmentStarted,
    SessionEnded,
    SessionStarted,
    StudyCreated,
    StudyEdited,
    TrialCreated,
)
from search.journal.journal import Entry, read_journal
from search.journal.records import TrialRecord
from search.journal.trials import TRIAL_EVENTS, TrialDetails, TrialEvent, apply
from search.trial.outcome import Outcome
from sitenet_core.errors import InfrastructureError

_USED_UP = frozenset({"trials", "epochs", "exhausted"})
"""Ends of a search after which a larger budget, or space, is the only way on."""
Promotion = (
    PromotionReruns
    | PromotionRerun
    | PromotionStarted
    | PromotionDivided
    | PromotionEpoch
    | PromotionTrained
    | PromotionFailed
    | PromotionTesting
    | PromotionTested
    | PromotionRegistered
)


@dataclass(frozen=True)
class StudyState:
    """Everything the journal says. Equal journals give equal states."""

    name: str = ""
    study_digest: str = ""
    space_digest: str = ""
    warm_start_digest: str | None = None
    first_study_digest: str = ""
    """Of the study as it began; no edit changes it."""
    outside: Mapping[int, Outside] = field(default_factory=dict)
    """Trials that no longer fit, by number."""
    trials: tuple[TrialRecord, ...] = ()
    """By number."""
    details: Mapping[int, TrialDetails] = field(default_factory=dict)
    session: int = 0
    session_open: bool = False
    """Whether the last session has not ended in good order (or is still running)."""
    ended: str | None = None
    """Why the last session ended."""
    purpose: str = "search"
    """Of the last session: `search` or `promotion`."""
    search_ended: str | None = None
    """Why the last session that searched ended; no promotion changes it."""
    search_seconds: Mapping[int, float] = field(default_factory=dict)
    """Session → seconds from its start to its last event, searching sessions only."""
    gpu_seconds: float = 0.0
    """Time of all segments that have ended, each times its GPUs."""
    promotion: tuple[Promotion, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    """`data_digest` and `split_digest`, of the last session that stated them."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "StudyState":
        """Return the state after `entries`, which are a whole journal."""
        return reduce(StudyState.after, entries, cls())

    @classmethod
    def read(cls, path: Path) -> "StudyState":
        """Return the state that the journal at `path` tells.

        Raises:
            InfrastructureError: as `read_journal`.
        """
        return cls.of(read_journal(path))

    @property
    def seconds(self) -> float:
        """Wall-clock time spent searching, summed over sessions."""
        return sum(self.search_seconds.values())

    @property
    def used_up(self) -> bool:
        """Whether the last search went on until it had nothing to start any more."""
        return self.search_ended in _USED_UP

    def outcome_of(self, number: int) -> Outcome | None:
        """Return how a trial ended, as a person sees it.

        A trial that waits at a rung when the budget is used up is `stopped`. It is no
        final outcome: the trial can be promoted as soon as the budget is larger.
        """
        record = self.trials[number]
        if self.used_up and record.waiting:
            return Outcome.STOPPED
        return record.outcome

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the smallest objective; the earlier one of a tie."""
        done = [
            t
            for t in self.trials
            if t.outcome is Outcome.COMPLETED and t.value is not None
        ]
        return min(done, key=lambda t: (t.value, t.number), default=None)

    def after(self, entry: Entry) -> "StudyState":
        """Return the state with one more event.

        Raises:
            InfrastructureError: if the event cannot follow, such as an epoch of a
                trial that was never created.
        """
        event = entry.event
        if isinstance(event, StudyEdited):
            # Between two sessions: it takes none of their time.
            return self._edited(event)
        if isinstance(event, TRIAL_EVENTS):
            state = self._after_trial_event(event, entry)
        else:
            state = self._after_study_event(event, entry)
        if not self.session_open or entry.session not in self.search_seconds:
            return state
        # What was written after a kill, outside of any session, has a clock of its own.
        last = max(entry.elapsed, state.search_seconds[entry.session])
        return replace(
            state, search_seconds={**state.search_seconds, entry.session: last}
        )

    def without_driver(self) -> "StudyState":
        """Return the state for when the driver of an open session is known to be dead.

        A session that ended in good order is left as it is.
        """
        if not self.session_open:
            return self
        last = self.search_seconds.get(self.session, 0.0)
        return replace(self._idle(last), session_open=False)

    def _after_study_event(self, event: Event, entry: Entry) -> "StudyState":
        if isinstance(event, StudyCreated):
            return replace(
                self,
                name=event.name,
                study_digest=event.study_digest,
                space_digest=event.space_digest,
                warm_start_digest=event.warm_start_digest,
                first_study_digest=event.study_digest,
            )
        if isinstance(event, SessionStarted):
            return self._new_session(event)
        if isinstance(event, SessionEnded):
            return self._session_ended(event, entry)
        if isinstance(event, Promotion):
            return replace(self, promotion=(*self.promotion, event))
        return self

    def _edited(self, event: StudyEdited) -> "StudyState":
        idle = self._idle(self.search_seconds.get(self.session, 0.0))
        edited = after_edit(idle.trials, self.outside, event)
        return replace(
            idle,
            study_digest=event.study_digest,
            space_digest=event.space_digest,
            warm_start_digest=event.warm_start_digest,
            trials=edited.trials,
            outside=edited.outside,
        )

    def _session_ended(self, event: SessionEnded, entry: Entry) -> "StudyState":
        searched = self.purpose == "search"
        return replace(
            self._idle(entry.elapsed),
            session_open=False,
            ended=event.reason,
            search_ended=event.reason if searched else self.search_ended,
        )

    def _new_session(self, event: SessionStarted) -> "StudyState":
        seconds = dict(self.search_seconds)
        last = seconds.get(self.session, 0.0)
        if event.purpose == "search":
            seconds[event.session] = 0.0
        stated = {"data_digest": event.data_digest, "split_digest": event.split_digest}
        digests = {**self.digests, **{k: v for k, v in stated.items() if v is not None}}
        return replace(
            self._idle(last),
            session=event.session,
            session_open=True,
            ended=None,
            purpose=event.purpose,
            search_ended=None if event.purpose == "search" else self.search_ended,
            search_seconds=MappingProxyType(seconds),
            digests=digests,
        )

    def _idle(self, elapsed: float) -> "StudyState":
        """Return the state with no segment running: their driver is gone.

        Args:
            elapsed: seconds from the start of the driver's session to its end, or to
                the last that is known of it.
        """
        running = [self.details[t.number] for t in self.trials if t.running]
        used = sum(d.gpus * max(elapsed - d.began, 0.0) for d in running)
        trials = tuple(replace(t, running=False) for t in self.trials)
        return replace(self, trials=trials, gpu_seconds=self.gpu_seconds + used)

    def _after_trial_event(self, event: TrialEvent, entry: Entry) -> "StudyState":
        number = event.trial
        if isinstance(event, TrialCreated):
            return self._created(event, entry)
        if number >= len(self.trials):
            raise InfrastructureError(
                f"journal event {entry.seq}: {event.event} of trial {number}, which "
                "was never created; restore the journal from a backup"
            )
        record, details = self.trials[number], self.details[number]
        attempt = getattr(event, "attempt", record.attempts)
        is_stale = attempt != record.attempts and not isinstance(event, SegmentStarted)
        if is_stale or record.outcome is not None:
            return self
        before, (record, details) = record, apply(record, details, event, entry)
        record = self._arrived(record)
        used = 0.0
        if before.running and not record.running:
            used = details.gpus * max(entry.elapsed - details.began, 0.0)
        return replace(
            self,
            trials=(*self.trials[:number], record, *self.trials[number + 1 :]),
            details={**self.details, number: details},
            gpu_seconds=self.gpu_seconds + used,
        )

    def _arrived(self, record: TrialRecord) -> TrialRecord:
        """Return the record with its place in the order of those at a new rung."""
        rung = record.last_epoch
        if rung not in record.rung_values or rung in record.arrivals:
            return record
        earlier = sum(rung in other.arrivals for other in self.trials)
        return replace(record, arrivals={**record.arrivals, rung: earlier})

    def _created(self, event: TrialCreated, entry: Entry) -> "StudyState":
        if event.trial != len(self.trials):
            raise InfrastructureError(
                f"journal event {entry.seq}: trial {event.trial} was created where "
                f"trial {len(self.trials)} was expected; restore the journal"
            )
        record = TrialRecord(
            number=event.trial,
            configuration=event.configuration,  # type: ignore[arg-type]
            source=event.source,
            seed=event.seed,
        )
        details = {**self.details, event.trial: TrialDetails(created=entry.time)}
        return replace(self, trials=(*self.trials, record), details=details)
