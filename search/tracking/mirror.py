"""Brings one run of MLflow up to what its view says, writing only what is missing."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from search.tracking.store import LoggedRun, MlflowStore
from search.tracking.views import Artifact, Point, RunView

# Tags by which runs are found again; all else about a run may change.
STUDY_TAG = "sitenet.study"
KEY_TAG = "sitenet.key"
_DIGEST_TAG = "sitenet.view_digest"
_ARTIFACTS_TAG = "sitenet.artifacts"
_PARENT_TAG = "mlflow.parentRunId"


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

    def __init__(self, store: MlflowStore, experiment: str, study: str) -> None:
        self._store = store
        self._experiment = experiment
        self._study = study
        self._runs = {
            run.tags[KEY_TAG]: _recovered(run)
            for run in store.runs(experiment, STUDY_TAG, study)
            if KEY_TAG in run.tags
        }

    def push(self, view: RunView, parent: str | None = None) -> str:
        """Bring the run of `view` up to date and return its id in MLflow.

        Raises:
            InfrastructureError: if MLflow does not take it; try again later.
        """
        known = self._runs.get(view.key) or self._create(view, parent)
        if known.digest != view.digest:
            self._write(known, view)
        return known.run.run_id

    def run(self, key: str) -> LoggedRun:
        """Return the run of a view that was pushed.

        Raises:
            KeyError: if it never was.
        """
        return self._runs[key].run

    def _create(self, view: RunView, parent: str | None) -> _Mirrored:
        tags = {STUDY_TAG: self._study, KEY_TAG: view.key}
        if parent is not None:
            tags[_PARENT_TAG] = parent
        run = self._store.create_run(self._experiment, view.name, view.start_ms, tags)
        self._runs[view.key] = _recovered(run)
        return self._runs[view.key]

    def _write(self, known: _Mirrored, view: RunView) -> None:
        run, store = known.run, self._store
        if known.points is None:
            known.points = store.points(run)
        if (run.status, run.end_ms) != (view.status, view.end_ms):
            store.set_status(run.run_id, view.status, view.end_ms)
        self._upload(known, view.artifacts)
        missing = [p for p in view.points if p not in known.points]
        params = {k: v for k, v in view.params.items() if k not in run.params}
        tags = {k: v for k, v in view.tags.items() if run.tags.get(k) != v}
        store.log(run.run_id, missing, params, {**tags, _DIGEST_TAG: view.digest})
        known.points.update(missing)
        known.digest = view.digest
        known.run = LoggedRun(
            run_id=run.run_id,
            artifact_uri=run.artifact_uri,
            status=view.status,
            end_ms=view.end_ms,
            tags={**run.tags, **view.tags},
            params={**run.params, **view.params},
        )

    def _upload(self, known: _Mirrored, artifacts: Iterable[Artifact]) -> None:
        """Upload what is new or has changed; the tag that says so is written after."""
        for artifact in artifacts:
            name = f"{artifact.folder or ''}/{artifact.path.name}"
            digest = content_digest(artifact.path)
            if known.artifacts.get(name) == digest:
                continue
            self._store.upload(known.run.run_id, artifact.path, artifact.folder)
            known.artifacts[name] = digest
            text = json.dumps(known.artifacts, sort_keys=True)
            self._store.log(known.run.run_id, tags={_ARTIFACTS_TAG: text})


def content_digest(path: Path) -> str:
    """Return a digest of the names and bytes of a file, or of all below a folder."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) or [path]
    for file in files:
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _recovered(run: LoggedRun) -> _Mirrored:
    return _Mirrored(
        run=run,
        digest=run.tags.get(_DIGEST_TAG, ""),
        points=None if run.metrics else set(),
        artifacts=json.loads(run.tags.get(_ARTIFACTS_TAG, "{}")),
    )
