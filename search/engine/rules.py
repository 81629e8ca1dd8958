"""What a conductor works with: the engine's parts and the numbers of a study file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.engine.budget import Budget
from search.engine.schedulers import Scheduler
from search.engine.searchers import NO_EARLIER, Earlier, Searcher
from search.space import FlatConfiguration, Space

if TYPE_CHECKING:
    from sitenet_core.training.sizing import MemoryPlan

PlanMemory = Callable[[FlatConfiguration, int, int | None], "MemoryPlan | None"]
"""(configuration, target epoch, largest micro-batch that it may have) → how a segment
is divided; None where nothing is known of that."""


@dataclass(frozen=True)
class Rules:
    """The numbers of a study file that decide what the conductor does."""

    trials: int | None
    """Trials of the budget; None: other budgets end the study."""
    epochs: int
    """Epochs of a complete trial, all levels of its fidelity together."""
    anew_after: tuple[int, ...] = ()
    """Epochs after which a trial is trained anew, at the next level."""
    seed: int = 0
    concurrent: int = 1
    epoch_budget: int | None = None
    """Epochs of all trials together."""
    wall_clock_seconds: float | None = None
    gpu_seconds: float | None = None
    gpus: float = 0
    """GPUs of one segment."""
    timeout_seconds: float | None = None
    max_lost_worker_retries: int = 2

    @property
    def budget(self) -> Budget:
        """When the study ends."""
        return Budget(
            self.trials, self.epoch_budget, self.wall_clock_seconds, self.gpu_seconds
        )


@dataclass(frozen=True)
class Engine:
    """Where proposals come from and who may go on."""

    space: Space
    searcher: Searcher
    scheduler: Scheduler
    earlier: Earlier = NO_EARLIER
    """What earlier studies tell; fixed while the study lasts."""
    plan_memory: PlanMemory = lambda _configuration, _until, _most: None
    """Asked before each segment."""
