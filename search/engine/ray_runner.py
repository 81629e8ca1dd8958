"""Runs a study's segments on Ray Tune until the conductor has none, or time is up."""

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ray import tune
from ray.exceptions import OutOfMemoryError
from ray.tune.error import TuneError

from search.engine.desk import Desk
from search.engine.ray_cluster import TrialResources
from search.engine.ray_searcher import SegmentSearcher, SessionGuard, run_on_worker
from search.engine.segment import EndReason
from search.engine.stopping import Stopped, StopRequest
from search.journal import StudyState
from sitenet_core.errors import InfrastructureError

OnState = Callable[[StudyState], None]

_HOOK_SECONDS = 0.5
_COLLECTION_SECONDS = 30.0
"""Between collections of garbage, which happen here alone while Ray is connected (see
`ray_connection`)."""


@dataclass(frozen=True)
class RayRun:
    """How Ray runs the segments."""

    resources: TrialResources
    scratch: Path
    """Folder for what Ray insists on writing; the caller removes it."""
    on_state: OnState | None = None
    """Called every half second with the state, for displays."""


def run_on_ray(desk: Desk, run: RayRun, stop: StopRequest) -> EndReason:
    """Run segments until the study's session is over and return why it is.

    Ray must be connected. Nothing of Ray's own state is kept: a session always gets a
    new tuner. Workers that still run when the time is up, or a stop is asked for, are
    ended; their segments go on from their last checkpoint in the next session.

    Raises:
        InfrastructureError: if Ray fails, as opposed to a trial.
    """
    check = _Check(desk, run, stop)
    quiet = logging.getLogger("ray.tune")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        _tuner(desk, run, check).fit()
    except Stopped:
        return EndReason.INTERRUPTED if stop.is_set else desk.conductor.end_reason
    except TuneError as error:
        if desk.error is not None:
            raise desk.error from None
        raise InfrastructureError(
            f"Ray Tune failed: {error}; finished trials are in the journal, go on with "
            "--resume"
        ) from error
    except RuntimeError as error:
        if not isinstance(error.__cause__ or error.__context__, OutOfMemoryError):
            raise
        raise InfrastructureError(
            "Ray's memory monitor killed a worker, which Ray Tune does not survive; "
            "start the nodes of the cluster with RAY_memory_monitor_refresh_ms=0 and "
            "go on with --resume"
        ) from error
    finally:
        quiet.setLevel(level)
    return desk.conductor.end_reason


class _Check:
    """What is looked at between two steps of Ray."""

    def __init__(self, desk: Desk, run: RayRun, stop: StopRequest) -> None:
        self._desk = desk
        self._on_state = run.on_state
        self._stop = stop
        self._next_hook = 0.0
        self._next_collection = 0.0

    def __call__(self) -> None:
        self._stop.check()
        if self._desk.conductor.is_out_of_time:
            raise Stopped
        if time.monotonic() > self._next_collection:
            gc.collect()
            self._next_collection = time.monotonic() + _COLLECTION_SECONDS
        if time.monotonic() < self._next_hook:
            return
        self._desk.look()
        if self._on_state is not None:
            self._on_state(self._desk.conductor.state)
        self._next_hook = time.monotonic() + _HOOK_SECONDS


def _tuner(desk: Desk, run: RayRun, check: Callable[[], None]) -> tune.Tuner:
    resources = {"cpu": run.resources.cpus, "gpu": run.resources.gpus}
    return tune.Tuner(
        tune.with_resources(run_on_worker, resources),
        tune_config=tune.TuneConfig(
            search_alg=SegmentSearcher(desk, check),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_segment_name,
            trial_dirname_creator=_segment_name,
        ),
        run_config=tune.RunConfig(
            name="segments",
            storage_path=str(run.scratch.resolve()),
            failure_config=tune.FailureConfig(max_failures=0),
            callbacks=[SessionGuard(check)],
            verbose=0,
        ),
    )


def _segment_name(trial: "tune.experiment.Trial") -> str:
    return f"segment_{trial.trial_id}"
