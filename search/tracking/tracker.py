"""Keeps MLflow in step with a study's journal, and the study free of MLflow."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from search.journal.events import PromotionRegistered, PromotionTrained
from search.journal.state import StudyState
from search.tracking.location import artifact_root
from search.tracking.mirror import StudyMirror, Written
from search.tracking.promoted import WINNER, promotion_key, promotion_views
from search.tracking.registry import (
    RegisteredModel,
    Registration,
    register_bundle,
    restore_version,
)
from search.tracking.store import MlflowStore
from search.tracking.views import study_identity, study_view, trial_view
from sitenet_core.errors import InfrastructureError

_log = logging.getLogger(__name__)
RETRY_SECONDS = 30.0


class MlflowTracker:
    """One study's view in MLflow: experiment = study, parent run = study.

    `sync` may be called after every event. It writes what MLflow lacks and remembers
    it; a new tracker finds out from MLflow what is there. If MLflow is away, nothing is
    lost, since nothing is kept here that is not in the journal: it is tried again after
    RETRY_SECONDS and at the latest by a sync with `now=True`, the last of a session.
    """

    def __init__(
        self,
        uri: str,
        folder: Path,
        tags: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember where MLflow is; nothing is opened before the first sync.

        Args:
            uri: of the store, from `tracking_uri`.
            folder: of the study; its parent takes the artifacts of a SQLite store.
            tags: put on every run: the digests of data and split, say.
            clock: seconds that never run backwards.
        """
        self._uri = uri
        self._folder = folder
        self._tags = dict(tags or {})
        self._clock = clock
        self._open: tuple[MlflowStore, StudyMirror] | None = None
        self._seen: dict[int, tuple[object, ...]] = {}
        self._parent: tuple[tuple[object, ...], str] | None = None
        self._retry_at = float("-inf")
        self._busy = threading.Lock()
        self.dirty = False
        """Whether the last sync left something for a later one."""

    def sync(self, state: StudyState, *, now: bool = False) -> None:
        """Bring MLflow up to `state`; failing that, say so in the log and go on.

        Args:
            state: fold of the whole journal; a study without a trial has no run yet.
            now: the last time in a session: try even if MLflow was found to be away a
                moment ago, and failing that, say how it catches up.
        """
        if not state.trials or (self._clock() < self._retry_at and not now):
            return
        try:
            with self._busy:
                self._push(state)
        except (InfrastructureError, OSError) as error:
            if now:
                _log.warning(
                    "%s (MLflow lacks what came last; `sitenet search sync %s` writes "
                    "it from the journal)",
                    error,
                    state.name,
                )
            elif not self.dirty:
                _log.warning("%s (the study goes on; MLflow is tried again)", error)
            self._forget()
        else:
            self.dirty = False
            self._retry_at = float("-inf")

    def register(
        self, state: StudyState, bundle: Path, registration: Registration
    ) -> RegisteredModel:
        """Register the promoted model with the run of its long training.

        Raises:
            ConfigError: if the name is not one that a model can have.
            InfrastructureError: if MLflow does not take it; may simply be repeated.
        """
        with self._busy:
            self._push(state)
            store, mirror = self._opened(state)
            run = mirror.run(promotion_key(WINNER))
            return register_bundle(store, run, bundle, registration)

    def rebuild(self, state: StudyState) -> Written:
        """Bring MLflow up to `state`, believing nothing that MLflow says of itself.

        Runs that were deleted, in part or whole, come back, as does the version of a
        registered model, file by file; an alias that has moved on is left where it is.

        Returns:
            What was written; all of it unchanged where MLflow lacked nothing. Whoever
            journals new numbers of versions calls this once more, for the run's tag.

        Raises:
            InfrastructureError: if MLflow does not take it; may simply be repeated.
        """
        if not state.trials:
            return Written()
        with self._busy:
            self._forget()
            store, mirror = self._opened(state, thorough=True)
            self._push(state)
            self._restore_models(store, mirror, state)
            self.dirty = False
            self._retry_at = float("-inf")
            return mirror.written

    def _restore_models(
        self, store: MlflowStore, mirror: StudyMirror, state: StudyState
    ) -> None:
        trained = [e for e in state.promotion if isinstance(e, PromotionTrained)]
        bundle = next((e.bundle for e in trained if e.model == WINNER), None)
        if bundle is None or not (self._folder / bundle).is_dir():
            return
        run, written = mirror.run(promotion_key(WINNER)), mirror.written
        registered = (e for e in state.promotion if isinstance(e, PromotionRegistered))
        for event in {e.name: e for e in registered}.values():
            found = restore_version(
                store,
                run,
                self._folder / bundle,
                Registration(event.name, event.tags, event.alias),
                event.version,
            )
            written.models += bool(found.done)
            written.repairs += found.done
            if found.number != event.version:
                now = event.model_copy(update={"version": found.number})
                written.renumbered.append(now)

    def _push(self, state: StudyState) -> None:
        _, mirror = self._opened(state)
        tags = self._tags
        parent = self._push_study(mirror, state)
        for number in self._changed(state):
            mirror.push(trial_view(state, number, self._folder, tags), parent)
            self._seen[number] = _fingerprint(state, number)
        for view in promotion_views(state, self._folder, tags):
            mirror.push(view, parent)

    def _push_study(self, mirror: StudyMirror, state: StudyState) -> str:
        """Bring the parent run up to date; it changes when a trial or session ends."""
        ended = sum(trial.outcome is not None for trial in state.trials)
        seen = (ended, state.session, state.session_open, state.ended)
        if self._parent is None or self._parent[0] != seen:
            view = study_view(state, self._folder, self._tags)
            self._parent = (seen, mirror.push(view))
        return self._parent[1]

    def _opened(
        self, state: StudyState, *, thorough: bool = False
    ) -> tuple[MlflowStore, StudyMirror]:
        if self._open is None:
            store = MlflowStore(self._uri)
            root = artifact_root(self._uri, self._folder.parent)
            experiment = store.experiment(state.name, root)
            identity = study_identity(state)
            mirror = StudyMirror(store, experiment, identity, thorough=thorough)
            self._open = store, mirror
        return self._open

    def _changed(self, state: StudyState) -> list[int]:
        """Return the trials that are not known to be in MLflow as they are now."""
        return [
            trial.number
            for trial in state.trials
            if self._seen.get(trial.number) != _fingerprint(state, trial.number)
        ]

    def _forget(self) -> None:
        """Start afresh from what MLflow says once it is back."""
        self._open = None
        self._seen.clear()
        self._parent = None
        self.dirty = True
        self._retry_at = self._clock() + RETRY_SECONDS


def _fingerprint(state: StudyState, number: int) -> tuple[object, ...]:
    trial = state.trials[number]
    alive = trial.outcome is None and state.session_open
    return trial, state.details[number], alive, state.outcome_of(number)
