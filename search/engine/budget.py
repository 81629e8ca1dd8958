"""What a study may use and what it has used, from the journal alone.

Budgets end a study in one of two ways. Trials and epochs say how much is trained: once
all trials have begun, those that the scheduler promotes go on; once all epochs are
handed out, what is in the hands of workers finishes its rung, and nothing else starts.
Wall clock and GPU-hours say how long: workers are ended at once, and their trials go
on from their last checkpoint once the budget is larger. Whichever budget ends first
counts.

An epoch counts from the moment it is handed out. So the epochs that are trained exceed
their budget by less than one segment, with any number of workers.
"""

from dataclasses import dataclass

from search.engine.segment import EndReason
from search.journal import StudyState


@dataclass(frozen=True)
class Budget:
    """Limits of a study; None has no limit."""

    trials: int | None = None
    epochs: int | None = None
    """Epochs of all trials together."""
    seconds: float | None = None
    """Wall clock, summed over the sessions that search."""
    gpu_seconds: float | None = None
    """Time of segments, each times its GPUs."""


@dataclass(frozen=True)
class Spent:
    """What a study has used of each limit."""

    trials: int
    epochs: int
    """Epochs that were trained, those of failed trials and repeated ones included."""
    committed_epochs: int
    """The same and the epochs that segments were handed out for, running or not."""
    seconds: float
    gpu_seconds: float

    @classmethod
    def of(cls, state: StudyState, elapsed: float | None = None) -> "Spent":
        """Return what the journal says was used.

        Args:
            state: of the study.
            elapsed: seconds since the open session started, for a display or a driver;
                None counts up to the last event.
        """
        if elapsed is None or not state.session_open:
            elapsed = state.search_seconds.get(state.session, 0.0)
        return cls(
            trials=len(state.trials),
            epochs=_repeated(state) + sum(t.last_epoch for t in state.trials),
            committed_epochs=_committed(state),
            seconds=_seconds(state, elapsed),
            gpu_seconds=_gpu_seconds(state, elapsed),
        )


def time_is_up(budget: Budget, state: StudyState, elapsed: float) -> EndReason | None:
    """Return which limit of time is used up, if one is.

    Args:
        budget: of the study.
        state: with a session that searches.
        elapsed: seconds since that session started.
    """
    if budget.seconds is not None and _seconds(state, elapsed) >= budget.seconds:
        return EndReason.WALL_CLOCK
    limit = budget.gpu_seconds
    if limit is not None and _gpu_seconds(state, elapsed) >= limit:
        return EndReason.GPU_HOURS
    return None


def may_create(budget: Budget, state: StudyState) -> bool:
    """Return whether one more trial may be created."""
    return budget.trials is None or len(state.trials) < budget.trials


def epochs_are_up(budget: Budget, state: StudyState) -> bool:
    """Return whether every epoch of the budget is trained or handed out."""
    return budget.epochs is not None and _committed(state) >= budget.epochs


def _seconds(state: StudyState, elapsed: float) -> float:
    current = state.search_seconds.get(state.session, 0.0)
    return state.seconds - current + elapsed


def _gpu_seconds(state: StudyState, elapsed: float) -> float:
    running = [state.details[t.number] for t in state.trials if t.running]
    used = sum(d.gpus * max(elapsed - d.began, 0.0) for d in running)
    return state.gpu_seconds + used


def _committed(state: StudyState) -> int:
    return _repeated(state) + sum(t.committed_epoch for t in state.trials)


def _repeated(state: StudyState) -> int:
    return sum(d.repeated_epochs for d in state.details.values())
