"""Brings one run of MLflow up to what its view says, writing only what is missing."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from search.journal.events import PromotionRegistered
from search.tracking.points import Point, corrections
from search.tracking.store import LoggedRun, MlflowStore
from search.tracking.views import FORMER_TAGS, Artifact, RunView

# Tags by which runs are found again; all else about a run may change.
STUDY_TAG = "sitenet.study"
KEY_TAG = "sitenet.key"
_DIGEST_TAG = "sitenet.view_digest"
_ARTIFACTS_TAG = "sitenet.artifacts"
_PARENT_TAG = "mlflow.parentRunId"


@dataclass
class Written:
    """What a mirror has written, for people."""

    created: int = 0
    """Runs that MLflow did not hold."""
    restored: int = 0
    """Runs that were taken out of MLflow's bin."""
    updated: int = 0
    """Other runs that lacked something."""
    unchanged: int = 0
    points: int = 0
    """Values of metrics."""
    artifacts: int = 0
    """Files and folders."""
    models: int = 0
    """Versions of registered models that were made, or lacked something."""
    repairs: list[str] = field(default_factory=list)
    """What was put right of registered models, in words."""
    renumbered: list[PromotionRegistered] = field(default_factory=list)
    """Registered models whose version has another number than the journal says."""


@dataclass
class _Mirrored:
    """What is known to be in MLflow of one run."""

    run: LoggedRun
    digest: str
    points: set[Point] | None
    """None until they had to be looked up."""
    artifacts: dict[str, str]


class StudyMirror:
    """The runs of one study, as MLflow holds them; found again by their tags.

    A run is complete when its tag says the digest of its view. That tag is written
    last, after metrics and parameters in the same call: whatever a kill leaves
    half-written is compared point by point and completed.
    """

    def __init__(
        self, store: MlflowStore, experiment: str, study: str, *, thorough: bool = False
    ) -> None:
        """Find the runs that are there.

        Args:
            store: that the runs lie in.
            experiment: id of the study's experiment.
            study: identity of the study.
            thorough: believe no tag that says what is there; look at everything once.
        """
        self._store = store
        self._experiment = experiment
        self._study = study
        self._thorough = thorough
        self.written = Written()
        found = [
            r for r in store.runs(experiment, STUDY_TAG, study) if KEY_TAG in r.tags
        ]
        # A run that is there comes before one of the same key in the bin.
        found.sort(key=lambda run: not run.deleted)
        self._runs = {run.tags[KEY_TAG]: self._recovered(run) for run in found}

    def push(self, view: RunView, parent: str | None = None) -> str:
        """Bring the run of `view` up to date and return its id in MLflow.

        Args:
            view: what the run should hold.
            parent: id of the run that it belongs below; None for the study's own.

        Raises:
            InfrastructureError: if MLflow does not take it; try again later.
        """
        known = self._runs.get(view.key)
        place = {} if parent is None else {_PARENT_TAG: parent}
        if known is None:
            known = self._create(view, place)
            self._write(known, view, place)
            self.written.created += 1
        elif known.run.deleted:
            self._store.restore_run(known.run.run_id)
            known.run = replace(known.run, deleted=False)
            self._write(known, view, place)
            self.written.restored += 1
        elif not _is_complete(known, view, place) and self._write(known, view, place):
            self.written.updated += 1
        else:
            self.written.unchanged += 1
        return known.run.run_id

    def run(self, key: str) -> LoggedRun:
        """Return the run of a view that was pushed.

        Raises:
            KeyError: if it never was.
        """
        return self._runs[key].run

    def _create(self, view: RunView, place: Mapping[str, str]) -> _Mirrored:
        tags = {STUDY_TAG: self._study, KEY_TAG: view.key, **place}
        run = self._store.create_run(self._experiment, view.name, view.start_ms, tags)
        self._runs[view.key] = self._recovered(run)
        return self._runs[view.key]

    def _write(self, known: _Mirrored, view: RunView, place: Mapping[str, str]) -> bool:
        """Write what MLflow lacks of `view`; return whether it lacked anything."""
        run, store = self._without_former_tags(known.run, view), self._store
        renamed = run is not known.run
        if known.points is None:
            known.points = store.points(run)
        ended = (run.status, run.end_ms) != (view.status, view.end_ms)
        if ended:
            store.set_status(run.run_id, view.status, view.end_ms)
        uploaded = self._upload(known, view.artifacts)
        missing = [p for p in view.points if p not in known.points]
        if view.status != "RUNNING":
            missing += corrections(known.points | set(missing), view.points)
        params = {k: v for k, v in view.params.items() if k not in run.params}
        wanted = {**view.tags, **place, _DIGEST_TAG: view.digest}
        tags = {k: v for k, v in wanted.items() if run.tags.get(k) != v}
        if missing or params or tags:
            store.log(run.run_id, missing, params, tags)
        known.points.update(missing)
        self.written.points += len(missing)
        known.digest = view.digest
        known.run = replace(
            run,
            status=view.status,
            end_ms=view.end_ms,
            tags={**run.tags, **wanted},
            params={**run.params, **view.params},
        )
        return bool(ended or uploaded or missing or params or tags or renamed)

    def _without_former_tags(self, run: LoggedRun, view: RunView) -> LoggedRun:
        """Delete the tags that are called otherwise now; return the run as it is then.

        A tag of the same name that says something else is somebody's own.
        """
        former = {
            name
            for name, now in FORMER_TAGS.items()
            if now in view.tags
            and name not in view.tags
            and run.tags.get(name) == view.tags[now]
        }
        for name in former:
            self._store.delete_tag(run.run_id, name)
        kept = {k: v for k, v in run.tags.items() if k not in former}
        return replace(run, tags=kept) if former else run

    def _upload(self, known: _Mirrored, artifacts: Iterable[Artifact]) -> int:
        """Upload what is new or has changed; the tag that says so is written after."""
        uploaded = 0
        for artifact in artifacts:
            name = f"{artifact.folder or ''}/{artifact.path.name}"
            digest = content_digest(artifact.path)
            if known.artifacts.get(name) == digest and self._holds(known, artifact):
                continue
            self._store.upload(known.run.run_id, artifact.path, artifact.folder)
            known.artifacts[name] = digest
            text = json.dumps(known.artifacts, sort_keys=True)
            self._store.log(known.run.run_id, tags={_ARTIFACTS_TAG: text})
            uploaded += 1
        self.written.artifacts += uploaded
        return uploaded

    def _holds(self, known: _Mirrored, artifact: Artifact) -> bool:
        """Return whether the files of an artifact that was uploaded are still there."""
        if not self._thorough:
            return True
        there = self._store.files(known.run.run_id, artifact.folder)
        return expected_files(artifact).items() <= there.items()

    def _recovered(self, run: LoggedRun) -> _Mirrored:
        return _Mirrored(
            run=run,
            digest="" if self._thorough else run.tags.get(_DIGEST_TAG, ""),
            points=None if run.metrics else set(),
            artifacts=json.loads(run.tags.get(_ARTIFACTS_TAG, "{}")),
        )


def _is_complete(known: _Mirrored, view: RunView, place: Mapping[str, str]) -> bool:
    """Return whether a run says that it was written whole, and is where it belongs.

    The place is no part of the view, which is the journal's: a parent run that is gone
    for good is made anew under an id that MLflow chooses.
    """
    return known.digest == view.digest and place.items() <= known.run.tags.items()


def expected_files(artifact: Artifact) -> dict[str, int]:
    """Return path among a run's artifacts → bytes of every file of `artifact`."""
    path = artifact.path
    prefix = f"{artifact.folder}/" if artifact.folder else ""
    if path.is_file():
        return {f"{prefix}{path.name}": path.stat().st_size}
    return {
        f"{prefix}{file.relative_to(path).as_posix()}": file.stat().st_size
        for file in path.rglob("*")
        if file.is_file()
    }


def content_digest(path: Path) -> str:
    """Return a digest of the names and bytes of a file, or of all below a folder."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) or [path]
    for file in files:
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
