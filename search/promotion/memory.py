"""Long trainings that fit into memory: divided and halved as trials are."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from search.journal.events import PromotionDivided
from search.promotion.ledger import Ledger
from search.trial.failures import INFEASIBLE
from search.trial.memory import Room, TrialMemory
from sitenet_core.config import TrialConfig
from sitenet_core.errors import OutOfMemoryError
from sitenet_core.training import FitResult, TrainingData
from sitenet_core.training.sizing import MemoryPlan

Attempt = Callable[[int | None], FitResult]
"""Trains with a micro-batch, from the last checkpoint on."""


@dataclass(frozen=True)
class Training:
    """One training whose epochs are journalled."""

    model: str
    """Name in the journal's events."""
    config: TrialConfig
    data: TrainingData
    folder: Path
    micro_batch: int | None = None
    """Most that goes through the network at once, as the trial found that it fits."""


def settle_division(training: Training, ledger: Ledger, room: Room | None) -> None:
    """Journal how a training is divided when it begins, and less after some kills.

    What does not fit with one crystal at a time is tried again after every kill: a kill
    is no proof that it never fits.

    Args:
        training: what begins or goes on.
        ledger: of its promotion, whose session has started.
        room: what it may use; None leaves the division to the device.
    """
    known = ledger.division(training.model)
    if known is None:
        ledger.append(_division(training, room))
    elif room is not None and (kills := ledger.kills_that_halve(training.model)):
        plan = _plan(training, room, known.micro_batch)
        if not plan.smallest:
            half = max(1, min(plan.micro_batch, plan.in_use // 2))
            message = (
                f"killed {kills} times before it ended an epoch, as the kernel does "
                "when memory runs out: half as much at once"
            )
            halved = PromotionDivided(
                model=training.model, micro_batch=half, message=message
            )
            ledger.append(halved)


def _division(training: Training, room: Room | None) -> PromotionDivided:
    model, most = training.model, training.micro_batch
    if room is None:
        return PromotionDivided(model=model, micro_batch=most)
    plan = _plan(training, room, most)
    return PromotionDivided(
        model=model,
        micro_batch=plan.micro_batch,
        predicted_bytes=plan.predicted_bytes,
        memory_bytes=plan.memory_bytes,
    )


def _plan(training: Training, room: Room, most: int | None) -> MemoryPlan:
    memory = TrialMemory(training.data.split, room)
    return memory.plan(training.config, training.data.store.path, most)


def fit_divided(model: str, ledger: Ledger, attempt: Attempt) -> FitResult:
    """Train, with half as much at once after each lack of memory; journal each halving.

    What the journal says of the division of this training holds, whoever began it.

    Raises:
        OutOfMemoryError: it does not fit with one crystal at a time, or memory ran out
            outside the training.
        SiteNetError: as `sitenet_core.training.fit`.
    """
    while True:
        division = ledger.division(model)
        try:
            return attempt(None if division is None else division.micro_batch)
        except OutOfMemoryError as error:
            if error.smallest:
                raise OutOfMemoryError(f"{INFEASIBLE}: {error}") from error
            if error.micro_batch is None or error.micro_batch < 2:
                raise
            half, message = error.micro_batch // 2, str(error)
        ledger.append(PromotionDivided(model=model, micro_batch=half, message=message))
        # What the training before left in cycles, and in torch's own cache.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
