"""Journals made by hand, and empty MLflow stores, for tests of the tracking."""

import shutil
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from mlflow.entities import Run

from search.journal import Clock, Journal, StudyState
from search.journal.events import (
    EpochDone,
    Event,
    PromotionRegistered,
    PromotionStarted,
    PromotionTested,
    PromotionTrained,
    SegmentFinished,
    SegmentStarted,
    SessionEnded,
    SessionStarted,
    StudyCreated,
    TrialCreated,
    TrialFinished,
)
from search.tracking import MlflowStore
from search.trial.outcome import Outcome

CONFIGURATION: dict[str, Any] = {
    "model.attention_weights.depth": 0,
    "model.attention_weights.width": None,
    "model.pooling": "mean",
    "optimizer.learning_rate": 8.125971481941902e-4,
}

_PURGES = (
    "DELETE FROM metrics WHERE run_uuid = ?",
    "DELETE FROM latest_metrics WHERE run_uuid = ?",
    "DELETE FROM params WHERE run_uuid = ?",
    "DELETE FROM tags WHERE run_uuid = ?",
    "DELETE FROM runs WHERE run_uuid = ?",
)


@dataclass
class _Ticking:
    """A clock that goes on by one second with each look at it."""

    now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class ToyStudy:
    """A study folder whose journal the test writes, event by event."""

    folder: Path
    name: str = "toy-study"
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "study.yaml").write_text(f"name: {self.name}\n")
        clock = Clock(wall=_Ticking(), monotonic=lambda: 0.0)
        self.journal = Journal.open(self.folder / "journal.jsonl", clock)
        digests = {"study_digest": "ab" * 32, "space_digest": "cd" * 32}
        self.add(StudyCreated(name=self.name, **digests))
        self.add(SessionStarted(session=1, host="here", pid=1))

    @property
    def state(self) -> StudyState:
        """What the journal on the disk says."""
        return StudyState.read(self.folder / "journal.jsonl")

    def add(self, event: Event) -> None:
        """Journal one event."""
        self.journal.append(event)

    def start(self, trial: int, until: int = 3) -> None:
        """Create a trial and give its first segment to a worker."""
        self.add(
            TrialCreated(
                trial=trial,
                configuration={**CONFIGURATION, "model.embedding_dim": 8 + trial},
                source="searcher",
                seed=100 + trial,
            )
        )
        self.attempt(trial, 1, until=until)

    def attempt(
        self,
        trial: int,
        attempt: int,
        from_epoch: int = 0,
        begins_after: int = 0,
        until: int = 3,
    ) -> None:
        """Give a segment to a worker."""
        self.add(
            SegmentStarted(
                trial=trial,
                attempt=attempt,
                from_epoch=from_epoch,
                until_epoch=until,
                checkpoint="last.ckpt" if from_epoch else None,
                folder=f"trials/{trial:05d}/attempt-{attempt}",
                begins_after=begins_after,
            )
        )

    def epoch(
        self,
        trial: int,
        epoch: int,
        attempt: int = 1,
        seconds: float = 2.0,
        value: float | None = None,
    ) -> None:
        """Journal an epoch; its value tells trial and epoch unless one is given."""
        self.add(
            EpochDone(
                trial=trial,
                attempt=attempt,
                epoch=epoch,
                metrics={
                    "val_mae": 1 / epoch + trial if value is None else value,
                    "train_loss": 0.1 * epoch,
                    "seconds": seconds,
                },
            )
        )

    def finish(self, trial: int, outcome: Outcome, epoch: int = 3) -> None:
        """End a trial; a completed one leaves a bundle."""
        bundle = None
        if outcome is Outcome.COMPLETED:
            bundle = f"trials/{trial:05d}/bundle"
            toy_bundle(self.folder / bundle, unit="eV")
            self.add(
                SegmentFinished(trial=trial, attempt=1, epoch=epoch, checkpoint=None)
            )
        message = "out of memory" if outcome.is_failure else ""
        self.add(
            TrialFinished(
                trial=trial,
                outcome=outcome,
                epoch=epoch,
                value=None,
                bundle=bundle,
                message=message,
            )
        )

    def complete(self, trial: int) -> None:
        """Journal a whole trial of three epochs."""
        self.start(trial)
        for epoch in (1, 2, 3):
            self.epoch(trial, epoch)
        self.finish(trial, Outcome.COMPLETED)

    def promote(self, name: str) -> None:
        """Journal a promotion of the first trial, registered under `name`."""
        plan: dict[str, Any] = {
            "started": "2026-11-01T13:00:00.000+00:00",
            "models": {"winner": {"model.pooling": "mean"}},
        }
        bundle = "promotion/bundle"
        toy_bundle(self.folder / bundle, unit="eV")
        metrics: dict[str, float | int | None] = {"mae": 1.0}
        tags = {"unit": "eV", "study": self.name}
        for event in (
            SessionStarted(session=2, host="h", pid=1, purpose="promotion"),
            PromotionStarted(trial=0, plan=plan),
            PromotionTrained(model="winner", bundle=bundle, metrics=metrics),
            PromotionTested(model="winner", metrics=metrics),
            PromotionRegistered(name=name, version="1", alias="champion", tags=tags),
        ):
            self.add(event)
        self.end("promoted")

    def end(self, reason: str = "trials") -> None:
        """End the session in good order."""
        self.add(SessionEnded(reason=reason))


def toy_bundle(folder: Path, unit: str) -> Path:
    """Return a folder that looks like a bundle to the registry."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").write_text(f'{{"unit": "{unit}"}}')
    (folder / "weights.safetensors").write_bytes(b"\0" * 16)
    return folder


def empty_store(studies: Path) -> str:
    """Return the URI of an empty store: a copy, since making its tables takes long."""
    studies.mkdir(parents=True, exist_ok=True)
    shutil.copy(_template(), studies / "mlflow.db")
    return f"sqlite:///{studies / 'mlflow.db'}"


def purge_run(uri: str, run_id: str) -> None:
    """Take a run out of a SQLite store for good, as `mlflow gc` does."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        for statement in _PURGES:
            database.execute(statement, (run_id,))


@lru_cache
def _template() -> Path:
    database = Path(mkdtemp(prefix="sitenet-test-mlflow-")) / "mlflow.db"
    MlflowStore(f"sqlite:///{database}")
    return database


def runs(uri: str, experiment: str = "toy-study") -> dict[str, Run]:
    """Return the runs of the study by their key."""
    client = MlflowStore(uri).client
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    listed = client.search_runs([found.experiment_id])
    by_key = {run.data.tags["sitenet.key"]: run for run in listed}
    assert len(by_key) == len(listed), "a run exists twice"
    return by_key
