"""What the conductor hands out, and what it can be told about it."""

from dataclasses import dataclass
from enum import Enum

from search.space import FlatConfiguration


@dataclass(frozen=True)
class Segment:
    """One stretch of a trial's training: from a checkpoint to a target epoch."""

    trial: int
    attempt: int
    """Counts from 1; every segment of a trial is a new attempt with a new folder."""
    configuration: FlatConfiguration
    from_epoch: int
    until_epoch: int
    is_last: bool
    """Whether the trial is complete after it, so that it must leave a bundle."""
    checkpoint: str | None
    """Relative to the study's folder, like `folder`; None starts from nothing."""
    folder: str
    seconds_left: float | None
    """What the trial's time-out has left; None without one."""
    begins_after: int = 0
    """Epochs of the trial before this training began, at a level of the fidelity."""
    micro_batch: int | None = None
    """Most that may go through the network at once; None is what suits the device."""
    in_use: int | None = None
    """What of the micro-batch goes through the network, see `MemoryPlan`."""
    smallest: bool = False
    """Whether less than that would not take less memory."""


class Answer(Enum):
    """What the conductor says when it hands out no segment."""

    WAIT = "wait"
    """Nothing now: ask again after the next event."""
    DONE = "done"
    """Nothing any more in this session."""


class EndReason(Enum):
    """Why a session of a study ended."""

    TRIALS = "trials"
    """Every trial of the budget has its outcome, or waits at a rung."""
    EPOCHS = "epochs"
    """Those of the budget are used up; every trial waits at a rung or has ended."""
    EXHAUSTED = "exhausted"
    """Every configuration of the space has a trial; otherwise as `trials`."""
    FAILURES = "failures"
    """Trial after trial failed before its first epoch (see `hopeless`): so would the
    others. The study can be resumed once the cause is mended."""
    WALL_CLOCK = "wall_clock"
    """The time is used up; trials that were running can go on with a larger budget."""
    GPU_HOURS = "gpu_hours"
    """The GPU-hours are used up, otherwise as `wall_clock`."""
    INTERRUPTED = "interrupted"
    """A signal; the study can be resumed."""
    ERROR = "error"
    """Ray or the disk failed; the study can be resumed once that is mended."""
