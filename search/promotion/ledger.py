"""The promotion's side of the journal: appends, folds, and tells MLflow."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.engine.tracking_thread import INTERRUPTED_TIMEOUT, TrackingThread
from search.journal import Event, Journal, SessionEnded, SessionStarted, StudyState
from search.journal.events import (
    Metrics,
    PromotionDivided,
    PromotionEpoch,
    PromotionFailed,
    PromotionRegistered,
    PromotionReruns,
    PromotionTested,
    PromotionTesting,
    PromotionTrained,
)
from search.promotion.held_signals import held_signals
from search.promotion.kills import kills_that_halve
from search.tracking import MlflowTracker


class Ledger:
    """What a promotion has done so far; every step is on disk before the next."""

    def __init__(self, journal: Path) -> None:
        self._journal = Journal.open(journal)
        self._tracking: TrackingThread | None = None
        self.state = StudyState.of(self._journal.entries)

    @contextmanager
    def session(
        self, tracker: MlflowTracker, versions: dict[str, str]
    ) -> Iterator[None]:
        """Journal a driver session around the block, and how it ended.

        `tracker` shows in MLflow what is journalled inside, in a thread of its own: a
        server that hangs holds no training up.
        """
        self._tracking = tracking = TrackingThread(tracker)
        self.append(
            SessionStarted(
                session=self.state.session + 1,
                host=socket.gethostname(),
                pid=os.getpid(),
                versions=versions,
                purpose="promotion",
            )
        )
        reason = "error"
        try:
            yield
            reason = "promoted"
        except KeyboardInterrupt:
            reason = "interrupted"
            raise
        finally:
            self.append(SessionEnded(reason=reason))
            self._tracking = None
            if reason == "interrupted":
                tracking.close(self.state, INTERRUPTED_TIMEOUT)
            else:
                tracking.close(self.state)

    def append(self, event: Event) -> None:
        """Journal `event`; MLflow is told in its own time.

        Signals wait: a journal that was interrupted between the write and the note of
        it would take its own line for another driver's, and refuse the session's end.
        """
        with held_signals():
            self.state = self.state.after(self._journal.append(event))
        if self._tracking is not None:
            self._tracking.show(self.state)

    def curve(self, model: str) -> dict[int, Metrics]:
        """Return what was measured in each journalled epoch of a training."""
        events = self.state.promotion
        return {
            e.epoch: e.metrics
            for e in events
            if isinstance(e, PromotionEpoch) and e.model == model
        }

    def division(self, model: str) -> PromotionDivided | None:
        """Return how a training is divided now; None before it has begun."""
        events = reversed(self.state.promotion)
        found = (e for e in events if isinstance(e, PromotionDivided))
        return next((e for e in found if e.model == model), None)

    def kills_that_halve(self, model: str) -> int:
        """Return after how many kills a training is to be halved; 0 if it is not."""
        return kills_that_halve(self._journal.entries, model)

    def seconds(self, model: str) -> float | None:
        """Return the training time of all epochs, None for what is no network."""
        curve = self.curve(model).values()
        return sum(m.get("seconds") or 0.0 for m in curve) if curve else None

    @property
    def reruns(self) -> PromotionReruns | None:
        """Which trials are trained again; None before that was decided."""
        events = self.state.promotion
        return next((e for e in events if isinstance(e, PromotionReruns)), None)

    @property
    def trained(self) -> dict[str, PromotionTrained]:
        """The long trainings that are finished, by model."""
        events = self.state.promotion
        return {e.model: e for e in events if isinstance(e, PromotionTrained)}

    @property
    def failed(self) -> dict[str, str]:
        """What went wrong with the references that could not be trained."""
        events = self.state.promotion
        return {e.model: e.message for e in events if isinstance(e, PromotionFailed)}

    @property
    def tested(self) -> dict[str, Metrics]:
        """Errors on the test set, by model."""
        events = self.state.promotion
        return {e.model: e.metrics for e in events if isinstance(e, PromotionTested)}

    @property
    def test_begun(self) -> bool:
        """Whether the test set was opened, whether or not results followed."""
        return any(isinstance(e, PromotionTesting) for e in self.state.promotion)

    @property
    def registered(self) -> PromotionRegistered | None:
        """Where the winner is registered; None as long as it is not."""
        events = self.state.promotion
        found = [e for e in events if isinstance(e, PromotionRegistered)]
        return found[-1] if found else None
