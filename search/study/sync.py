"""`sitenet search sync`: everything in MLflow again, from the journal alone."""

from dataclasses import asdict, dataclass
from typing import Any

from search.journal import Journal, StudyState
from search.study.edit import finish_edit
from search.study.folder import StudyFolder
from search.study.lock import study_lock
from search.tracking import MlflowTracker, Written, displayed, tracking_uri


@dataclass(frozen=True)
class SyncReport:
    """What a sync has done."""

    name: str
    store: str
    """URI of MLflow's store, without a password."""
    written: Written

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `--json`."""
        written = asdict(self.written)
        del written["renumbered"]  # `repairs` says it in words
        return {"name": self.name, "store": self.store, **written}

    def lines(self) -> list[str]:
        """Return what a person wants to know, line by line."""
        done = self.written
        runs = (
            f"{done.created} made, {done.restored} restored, {done.updated} completed, "
            f"{done.unchanged} lacked nothing"
        )
        values = (
            f"{done.points} values of metrics, {done.artifacts} artifacts, "
            f"{done.models} registered models"
        )
        head = f"study {self.name} in MLflow at {self.store}"
        return [head, f"runs: {runs}", f"written: {values}", *done.repairs]


def sync_study(folder: StudyFolder) -> SyncReport:
    """Bring MLflow up to what the journal of a study says.

    It writes what is missing and nothing else, whatever was lost or deleted there, into
    an empty store too. The study's lock is held meanwhile: MLflow has one writer, and
    the driver of a study that runs keeps MLflow up to date itself. A registered model
    that had to be registered again is journalled with the number that it has now.

    Raises:
        StudyInUseError: if a driver runs the study.
        ConfigError: if `MLFLOW_TRACKING_URI` names no store.
        InfrastructureError: if the journal is damaged, or MLflow does not take it; what
            was written until then stays, and the next sync goes on.
    """
    uri = tracking_uri(folder.path.parent)
    with study_lock(folder.lock):
        finish_edit(folder)
        # Nobody else holds the lock, so an open session is one whose driver was killed.
        state: StudyState = folder.state().without_driver()
        tracker = MlflowTracker(uri, folder.path)
        written = tracker.rebuild(state)
        if written.renumbered:
            journal = Journal.open(folder.journal)
            for event in written.renumbered:
                state = state.after(journal.append(event))
            tracker.rebuild(state)
    return SyncReport(state.name, displayed(uri), written)
