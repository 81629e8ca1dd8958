"""The promotion's side of the journal: appends, folds, and tells MLflow."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from search.journal import Event, Journal, SessionEnded, SessionStarted, StudyState
from search.journal.events import (
    Metrics,
    PromotionFailed,
    PromotionRegistered,
    PromotionTested,
    PromotionTesting,
    PromotionTrained,
)
from search.study.folder import StudyFolder
from search.tracking import MlflowTracker


class Ledger:
    """What a promotion has done so far; every step is on disk before the next."""

    def __init__(self, folder: StudyFolder, tracker: MlflowTracker) -> None:
        self._journal = Journal.open(folder.journal)
        self._tracker = tracker
        self.state = StudyState.of(self._journal.entries)

    @contextmanager
    def session(self, versions: dict[str, str]) -> Iterator[None]:
        """Journal a driver session around the block, and how it ended."""
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
            self._tracker.sync(self.state, now=True)

    def append(self, event: Event) -> None:
        """Journal `event`, then show it in MLflow if that is there."""
        self.state = self.state.after(self._journal.append(event))
        self._tracker.sync(self.state)

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
