"""The one module that imports MLflow: what the project asks of it, in its own words."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock

from search.tracking.location import checked_uri, quiet_environment, sqlite_file
from search.tracking.points import Point
from sitenet_core.errors import InfrastructureError, SiteNetError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run
    from mlflow.models.signature import ModelSignature

T = TypeVar("T")

# What MLflow takes in one `log_batch`: 1000 in all, 100 parameters, 100 tags.
_POINTS_PER_CALL = 800
_VALUES_PER_CALL = 100
_RUNS_PER_PAGE = 1000


class NotInStoreError(InfrastructureError):
    """MLflow answers, and says that it does not hold what was asked for."""


@dataclass(frozen=True)
class LoggedRun:
    """What MLflow holds of one run, its metric history apart."""

    run_id: str
    artifact_uri: str
    status: str = "RUNNING"
    end_ms: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: frozenset[str] = frozenset()
    """Names of the metrics that have at least one point."""
    deleted: bool = False
    """Whether it lies in MLflow's bin."""


class MlflowStore:
    """A tracking store and model registry; the schema of a new one is made here.

    Every method raises InfrastructureError if MLflow does not answer or refuses, and
    NotInStoreError if it does not hold what was asked for.
    """

    def __init__(self, uri: str) -> None:
        self.uri = checked_uri(uri)
        with self.guarded("cannot be opened"):
            self.client = _connect(uri)

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Turn every failure of MLflow inside the block into an error of ours."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            missing = getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
            kind = NotInStoreError if missing else InfrastructureError
            reason = " ".join(str(error).split())[:400]
            raise kind(
                f"MLflow at {displayed(self.uri)}: {what}: {reason}; see that the "
                "store can be reached and written (`sitenet doctor`), then try again"
            ) from error

    def experiment(self, name: str, artifact_root: str | None) -> str:
        """Return the id of experiment `name`, made if there is none."""
        with self.guarded(f"experiment {name!r} cannot be opened"):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                location = artifact_root and f"{artifact_root}/{name}"
                return str(self.client.create_experiment(name, location))
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    def runs(self, experiment: str, tag: str, value: str) -> list[LoggedRun]:
        """Return the runs that carry `tag` with `value`, deleted ones included."""
        text = value.replace("'", "''")
        return self.experiment_runs(
            experiment, f"tags.`{tag}` = '{text}'", deleted=True
        )

    def find_experiment(self, name: str) -> str | None:
        """Return the id of experiment `name`; None without it, or if it is deleted."""
        with self.guarded(f"experiment {name!r} cannot be looked for"):
            found = self.client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage == "deleted":
            return None
        return str(found.experiment_id)

    def experiment_runs(
        self, experiment: str, where: str = "", *, deleted: bool = False
    ) -> list[LoggedRun]:
        """Return the runs of `experiment`, those that meet `where` if it is given.

        Args:
            experiment: its id.
            where: a condition in MLflow's words.
            deleted: whether those in MLflow's bin belong to them.
        """
        from mlflow.entities import ViewType

        # By id: where runs are added meanwhile, one may be on two pages.
        found: dict[str, LoggedRun] = {}
        token: str | None = None
        with self.guarded("its runs cannot be listed"):
            while True:
                page = self.client.search_runs(
                    [experiment],
                    filter_string=where,
                    run_view_type=ViewType.ALL if deleted else ViewType.ACTIVE_ONLY,
                    max_results=_RUNS_PER_PAGE,
                    page_token=token,
                )
                found.update((run.info.run_id, _logged(run)) for run in page)
                token = page.token
                if not token:
                    return list(found.values())

    def create_run(
        self, experiment: str, name: str, start_ms: int, tags: Mapping[str, str]
    ) -> LoggedRun:
        """Return a new run; name, time and tags are written in one transaction."""
        with self.guarded(f"run {name!r} cannot be made"):
            run = self.client.create_run(experiment, start_ms, dict(tags), name)
        return _logged(run)

    def restore_run(self, run_id: str) -> None:
        """Take a run out of MLflow's bin."""
        with self.guarded("a deleted run cannot be restored"):
            self.client.restore_run(run_id)

    def points(self, run: LoggedRun) -> set[Point]:
        """Return every metric point that `run` holds."""
        with self.guarded("metrics cannot be read"):
            return {
                Point(name, point.value, point.step, point.timestamp)
                for name in run.metrics
                for point in self.client.get_metric_history(run.run_id, name)
            }

    def history(self, run: LoggedRun, metric: str) -> dict[int, float]:
        """Return step → value of one metric of `run`; the newest value of a step."""
        ordered = sorted(
            self._history(run, metric), key=lambda point: int(point.timestamp)
        )
        return {int(point.step): float(point.value) for point in ordered}

    def values(self, run: LoggedRun, metric: str) -> list[float]:
        """Return every value of one metric of `run`, several of a step included."""
        return [float(point.value) for point in self._history(run, metric)]

    def _history(self, run: LoggedRun, metric: str) -> "list[Metric]":
        if metric not in run.metrics:
            return []
        with self.guarded("metrics cannot be read"):
            return list(self.client.get_metric_history(run.run_id, metric))

    def log(
        self,
        run_id: str,
        points: Sequence[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write metrics, then parameters, then tags, in as few calls as possible."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(p.name, p.value, p.time_ms, p.step) for p in points]
        pairs = [Param(*pair) for pair in (params or {}).items()]
        marks = [RunTag(*pair) for pair in (tags or {}).items()]
        with self.guarded("a run cannot be written"):
            while len(metrics) > _POINTS_PER_CALL or len(pairs) > _VALUES_PER_CALL:
                some, metrics = _cut(metrics, _POINTS_PER_CALL)
                few, pairs = _cut(pairs, _VALUES_PER_CALL)
                self.client.log_batch(run_id, some, few)
            while len(marks) > _VALUES_PER_CALL:
                few_marks, marks = _cut(marks, _VALUES_PER_CALL)
                self.client.log_batch(run_id, tags=few_marks)
            if metrics or pairs or marks:
                self.client.log_batch(run_id, metrics, pairs, marks)

    def delete_tag(self, run_id: str, name: str) -> None:
        """Take a tag off a run."""
        with self.guarded(f"tag {name!r} of a run cannot be deleted"):
            self.client.delete_tag(run_id, name)

    def set_status(self, run_id: str, status: str, end_ms: int | None) -> None:
        """Set what a run's state is and, unless it goes on, when it ended."""
        with self.guarded("the status of a run cannot be set"):
            if end_ms is None:
                self.client.update_run(run_id, status=status)
            else:
                self.client.set_terminated(run_id, status, end_ms)

    def upload(self, run_id: str, path: Path, folder: str | None) -> None:
        """Copy a file, or what lies in a folder, to the artifacts of a run."""
        with self.guarded(f"{path} cannot be stored as an artifact"):
            if path.is_dir():
                self.client.log_artifacts(run_id, str(path), folder)
            else:
                self.client.log_artifact(run_id, str(path), folder)

    def files(self, run_id: str, folder: str | None) -> dict[str, int]:
        """Return path → bytes of every artifact of a run below `folder`."""
        found: dict[str, int] = {}
        with self.guarded("the artifacts of a run cannot be listed"):
            waiting = [folder]
            while waiting:
                for entry in self.client.list_artifacts(run_id, waiting.pop()):
                    if entry.is_dir:
                        waiting.append(entry.path)
                    else:
                        found[entry.path] = entry.file_size or 0
        return found

    def download(self, artifact_uri: str, folder: Path | None) -> Path:
        """Return a local copy of an artifact; the artifact itself if that is local.

        `folder` takes the copy, and must be given for an artifact that is not local.
        """
        from mlflow.artifacts import download_artifacts

        with self.guarded(f"{artifact_uri} cannot be fetched"):
            return Path(
                download_artifacts(
                    artifact_uri=artifact_uri,
                    dst_path=None if folder is None else str(folder),
                    tracking_uri=self.uri,
                )
            )


@dataclass(frozen=True)
class PyfuncModel:
    """What a model folder in MLflow's format says of itself."""

    loader_module: str
    requirements: Sequence[str]
    inputs: Mapping[str, bool]
    """Text column → whether it must be there."""
    outputs: Mapping[str, str]
    """Column → `string` or `double`."""


def save_pyfunc(folder: Path, bundle: Path, model: PyfuncModel) -> None:
    """Write a model folder that loads `bundle` through a module, without a pickle.

    Raises:
        InfrastructureError: if it cannot be written.
    """
    mlflow = load_mlflow()
    with warnings.catch_warnings():
        # MLflow 3.17 warns of its own type hints when it is imported. An input example
        # would be run through the model while it is saved; the signature is written by
        # hand and needs no confirmation.
        for message in (
            "Any type hint is inferred as AnyType",
            "An input example was not provided",
        ):
            warnings.filterwarnings("ignore", message=f".*{message}")
        try:
            mlflow.pyfunc.save_model(
                path=str(folder),
                loader_module=model.loader_module,
                data_path=str(bundle),
                pip_requirements=list(model.requirements),
                signature=_signature(model),
            )
        except (OSError, mlflow.exceptions.MlflowException) as error:
            raise InfrastructureError(
                f"{folder}: the model of {bundle} cannot be written: {error}"
            ) from error


def _signature(model: PyfuncModel) -> "ModelSignature":
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    return ModelSignature(
        Schema([ColSpec("string", n, required=r) for n, r in model.inputs.items()]),
        Schema([ColSpec(kind, name) for name, kind in model.outputs.items()]),
    )


def displayed(uri: str) -> str:
    """Return `uri` without a password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":***@", 1)


def load_mlflow() -> Any:
    """Return MLflow, imported with telemetry and chatter switched off.

    Whoever trains beside a tracking thread calls this first: an import changes filters
    of warnings, which belong to the process.
    """
    os.environ.update(quiet_environment())
    import mlflow

    # Both announce every migration of a new database at INFO; whoever has set a level
    # of their own keeps it.
    for name in ("mlflow", "alembic"):
        logger = logging.getLogger(name)
        if logger.level in {logging.NOTSET, logging.INFO}:
            logger.setLevel(logging.WARNING)
    return mlflow


def _connect(uri: str) -> "MlflowClient":
    """Return a client; two drivers that meet on a new SQLite file take turns."""
    mlflow = load_mlflow()
    database = sqlite_file(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{database}.lock") if database is not None else nullcontext()
    # MLflow 3.17 under SQLAlchemy 2.1; to be removed once MLflow has moved on. Not for
    # the time of the call only: that would undo, at its end, what another thread (a
    # training, say) has set meanwhile.
    warnings.filterwarnings(
        "ignore", message="The ``noload`` loader strategy is deprecated"
    )
    with lock:
        client: MlflowClient = mlflow.MlflowClient(uri, registry_uri=uri)
        if database is not None:
            # The registry's half of the schema is otherwise made at its first use.
            client.search_registered_models(max_results=1)
    return client


def _logged(run: "Run") -> LoggedRun:
    return LoggedRun(
        run_id=run.info.run_id,
        artifact_uri=str(run.info.artifact_uri),
        status=str(run.info.status),
        end_ms=run.info.end_time,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=frozenset(run.data.metrics),
        deleted=run.info.lifecycle_stage == "deleted",
    )


def _cut(items: list[T], size: int) -> tuple[list[T], list[T]]:
    return items[:size], items[size:]


def probe(uri: str) -> str | None:
    """Return why the store cannot be used now, None if it can; nothing is made."""
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        folder = next(p for p in database.parents if p.exists())
        writable = os.access(folder, os.W_OK)
        return None if writable else f"{folder} cannot be written"
    try:
        store = MlflowStore(uri)
        with store.guarded("its experiments cannot be listed"):
            store.client.search_experiments(max_results=1)
    except SiteNetError as error:
        return str(error)
    return None
