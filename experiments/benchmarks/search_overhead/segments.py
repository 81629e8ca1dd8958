"""Seconds per segment that does nothing, through Ray on two cores."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune

from search.engine.conductor import Conductor
from search.engine.desk import Desk
from search.engine.ray_cluster import TrialResources, ray_connection
from search.engine.ray_runner import RayRun, run_on_ray
from search.engine.rules import Engine, Rules
from search.engine.schedulers import FullTraining
from search.engine.searchers import make_searcher
from search.engine.segment import Segment
from search.engine.stopping import StopRequest
from search.journal import Journal, StudyCreated
from search.space import Space
from search.trial.messages import EpochMessage
from search.trial.payload import SegmentPayload
from search.trial.work import OnEpochDone, WorkResult

CONCURRENT = 2
_WORK = f"{__name__}:nothing"
_WARM = 10
"""Segments before the clock starts: workers are started for the first ones."""


def nothing(payload: SegmentPayload, on_epoch: OnEpochDone) -> WorkResult:
    """Report one epoch and be done."""
    metrics: dict[str, float | int | None] = {"val_mae": 1.0, "seconds": 0.0}
    on_epoch(EpochMessage(epoch=payload.until_epoch, metrics=metrics))
    return WorkResult()


def segments(space: Space, n: int, work: Path) -> dict[str, dict[str, float]]:
    """Return seconds per segment, ours and plain Ray Tune with and without reuse."""
    os.environ.setdefault("PYTHONPATH", str(Path.cwd()))
    with ray_connection(), tempfile.TemporaryDirectory(dir=work) as folder:
        place = Path(folder)
        return {
            "a segment of a study": _ours(space, n, place / "ours"),
            "ray tune, actors reused": _tune(n, place / "reused", reuse=True),
            "ray tune as it comes": _tune(
                max(n // 4, 20), place / "plain", reuse=False
            ),
        }


def _ours(space: Space, n: int, folder: Path) -> dict[str, float]:
    folder.mkdir()
    journal = Journal.open(folder / "journal.jsonl")
    journal.append(StudyCreated(name="s", study_digest="s", space_digest="p"))
    engine = Engine(space, make_searcher("random"), FullTraining(1))
    conductor = Conductor(journal, engine, Rules(n, 1, concurrent=CONCURRENT))
    conductor.begin("host", os.getpid(), {})
    stamps: list[float] = []

    def payload(segment: Segment) -> SegmentPayload:
        stamps.append(time.perf_counter())
        return SegmentPayload(
            work=_WORK,
            trial=segment.trial,
            attempt=segment.attempt,
            configuration=dict(segment.configuration),
            from_epoch=segment.from_epoch,
            until_epoch=segment.until_epoch,
            is_last=segment.is_last,
            checkpoint=None,
            folder=str(folder / segment.folder),
            bundle=str(folder / "bundle"),
        )

    desk = Desk(conductor, folder, payload)
    run_on_ray(desk, RayRun(TrialResources(), folder / "ray"), StopRequest())
    return _spacing(stamps)


class _Stamps(tune.Callback):  # type: ignore[misc] # Ray has no types
    """When each trial was begun."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_trial_start(self, **_: Any) -> None:
        self.seconds.append(time.perf_counter())

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _one_epoch(_config: dict[str, Any]) -> None:
    tune.report({"val_mae": 1.0})


def _tune(n: int, folder: Path, *, reuse: bool) -> dict[str, float]:
    stamps = _Stamps()
    tuner = tune.Tuner(
        tune.with_resources(_one_epoch, {"cpu": 1}),
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            num_samples=n, max_concurrent_trials=CONCURRENT, reuse_actors=reuse
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder), name="plain", callbacks=[stamps], verbose=0
        ),
    )
    tuner.fit()
    return _spacing(stamps.seconds)


def _spacing(stamps: list[float]) -> dict[str, float]:
    warm = stamps[_WARM:]
    return {"count": len(warm), "seconds": (warm[-1] - warm[0]) / (len(warm) - 1)}


def cpus() -> float:
    """Return how many CPUs Ray has here."""
    with ray_connection():
        return float(ray.cluster_resources()["CPU"])
