"""Feeds a tracker from the journal's state without ever holding up a trial."""

import logging
import threading
from typing import Protocol

from search.journal import StudyState

_log = logging.getLogger(__name__)
INTERRUPTED_TIMEOUT = 10.0
"""Seconds for the last sync after a signal: who sent it may not wait for long."""


class Tracker(Protocol):
    """A view of the study somewhere else, MLflow say."""

    def sync(self, state: StudyState, *, now: bool = False) -> None:
        """Bring the view up to `state`; doing it twice changes nothing.

        Args:
            state: of the whole study.
            now: the last time in a session: do not put it off, whatever happened a
                moment ago.
        """
        ...


class TrackingThread:
    """Syncs the newest state in its own thread: after each trial, and now and then.

    A tracker that fails or hangs delays its own view and nothing else.
    """

    def __init__(self, tracker: Tracker, seconds: float = 5.0) -> None:
        """Start the thread.

        Args:
            tracker: what is kept up to date.
            seconds: between two syncs while only epochs are new.
        """
        self._tracker = tracker
        self._seconds = seconds
        self._state: StudyState | None = None
        self._n_ended = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def show(self, state: StudyState) -> None:
        """Take note of the newest state and return at once."""
        self._state = state
        n_ended = sum(t.outcome is not None for t in state.trials)
        if n_ended != self._n_ended:
            self._n_ended = n_ended
            self._wake.set()

    def close(self, state: StudyState, timeout: float = 60.0) -> None:
        """Sync the last state, waiting at most `timeout` seconds for it."""
        self._state = state
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            _log.warning(
                "the tracker did not finish within %.0f s; what it lacks is in the "
                "journal: `sitenet search sync %s` writes it, or the next session does",
                timeout,
                state.name,
            )

    def _run(self) -> None:
        done: StudyState | None = None
        while True:
            self._wake.wait(self._seconds)
            self._wake.clear()
            closing, state = self._closing, self._state
            if state is not None and (state is not done or closing):
                self._sync(state, now=closing)
                done = state
            if closing:
                return

    def _sync(self, state: StudyState, *, now: bool) -> None:
        try:
            self._tracker.sync(state, now=now)
        except Exception:  # noqa: BLE001 - logged: no tracker may end a study
            _log.exception("the tracker failed; the study goes on without it")
