"""Ray Tune's view of a study: a searcher that hands out segments."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher as RaySearcher

from search.engine.desk import Desk
from search.engine.segment import Answer
from search.trial.payload import SegmentPayload
from search.trial.segment import run_segment
from sitenet_core.errors import InfrastructureError

SEGMENT = "segment"
MESSAGE = "sitenet"


def run_on_worker(config: dict[str, Any]) -> None:
    """Run the segment of `config`; this is the function that Ray executes."""
    payload = SegmentPayload.model_validate(config[SEGMENT])
    run_segment(payload, lambda text: tune.report({MESSAGE: text}))


class SegmentSearcher(RaySearcher):  # type: ignore[misc] # Ray has no types
    """What Ray calls a trial is one segment of ours."""

    def __init__(self, desk: Desk, check: Callable[[], None]) -> None:
        """Take the desk that segments come from.

        Args:
            desk: answers for the study.
            check: called before each segment; leaves the session by raising.
        """
        super().__init__()
        self._desk = desk
        self._check = check

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next segment, None to be asked again, or the word for the end."""
        self._check()
        with self._noted():
            answer = self._desk.next(trial_id)
        if answer is Answer.WAIT:
            return None
        if isinstance(answer, Answer):
            return str(RaySearcher.FINISHED)
        return {SEGMENT: answer.model_dump(mode="json")}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass a message of a worker on; it is in the journal when this returns."""
        with self._noted():
            self._desk.receive(trial_id, result[MESSAGE])

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep an error of journal or disk as it is: Ray makes a traceback of it."""
        try:
            yield
        except InfrastructureError as error:
            self._desk.error = error
            raise

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,  # noqa: ARG002 - Ray's signature
        error: bool = False,  # noqa: ARG002, FBT001, FBT002 - Ray's signature
    ) -> None:
        """Note that Ray is done with a segment, whichever way."""
        with self._noted():
            self._desk.ended(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the journal is the state."""

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles its tuner with everything in it; nothing of ours is needed."""
        return {}


class SessionGuard(tune.Callback):  # type: ignore[misc] # Ray has no types
    """Looks at clock and signals between Ray's steps, and ends the session there."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def on_step_begin(
        self,
        iteration: int,  # noqa: ARG002 - Ray's signature
        trials: list[Trial],
        **info: Any,  # noqa: ARG002 - Ray's signature
    ) -> None:
        """End the workers and leave the session if that is asked for."""
        try:
            self._check()
        except BaseException:
            _kill_workers(trials)
            raise

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles its callbacks with its tuner."""
        return {}


def _kill_workers(trials: list[Trial]) -> None:
    """End every worker now; what it did since its last checkpoint is done again."""
    for trial in trials:
        actor = trial.temporary_state.ray_actor
        if actor is not None and not trial.is_finished():
            ray.kill(actor)
