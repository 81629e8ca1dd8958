"""What a training is given and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sitenet_core.config import TargetConfig

if TYPE_CHECKING:
    from sitenet_core.data.split import Split
    from sitenet_core.data.store import PackedStore


@dataclass(frozen=True)
class TrainingData:
    """The crystals of a training: where they lie and which side each is on."""

    store: "PackedStore"
    split: "Split"
    target: TargetConfig
    train_on: Literal["train", "train+validation"] = "train"
    """`train+validation` trains on both and validates on nothing."""

    @property
    def training_ids(self) -> tuple[str, ...]:
        """Ids that the weights are fitted to."""
        if self.train_on == "train":
            return tuple(self.split.train)
        return (*self.split.train, *self.split.validation)

    @property
    def validation_ids(self) -> tuple[str, ...]:
        """Ids that the epochs are compared on; empty for `train+validation`."""
        return tuple(self.split.validation) if self.train_on == "train" else ()


@dataclass(frozen=True)
class FitOptions:
    """How one call of `fit` runs; beyond rounding, it decides nothing of the result."""

    folder: Path
    """Receives `checkpoints/last.ckpt`, `checkpoints/best.ckpt` and `curve.csv`."""
    until_epoch: int | None = None
    """Last epoch of this call (a rung); None means `training.epochs`."""
    resume_from: Path | None = None
    """A `last.ckpt`, here or in another folder; None starts afresh."""
    threads: int | None = None
    """CPU threads during the call: as many groups of a batch at once, each with torch
    on one thread; torch's own threads where a batch is one group (batch norm, mixed
    precision, compiled). None takes torch's present number."""
    deadline_seconds: float | None = None
    """Wall-clock seconds that this call may take."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    micro_batch: int | None = None
    """Largest group of crystals that goes through the network at once, in the unit of
    `ModelFamily.micro_batch` (Site-Net: pairs); None is what suits the device. It
    decides memory and speed; results agree to rounding."""
    progress: bool = False
    """Show a progress bar on standard error."""


@dataclass(frozen=True)
class EpochRecord:
    """One row of the learning curve."""

    epoch: int
    """Counted from 1; this epoch is finished."""
    train_loss: float
    """MAE over the training crystals while the weights changed, in the target's unit,
    every crystal counted once."""
    val_mae: float | None
    """MAE over the validation crystals; None without validation."""
    learning_rate: float
    seconds: float
    """Wall-clock seconds of the epoch, validation included."""
    peak_bytes: int
    """GPU: largest allocation in the epoch. CPU: largest memory of the process yet."""


@dataclass(frozen=True)
class FitResult:
    """How far a training came and where its weights lie."""

    epochs: int
    """Epochs that the weights in `last_checkpoint` have seen, resumed ones included."""
    val_mae: float | None
    """Of the last epoch; None without validation."""
    best_val_mae: float | None
    best_epoch: int
    """The epoch of `best_checkpoint`; without validation, the last epoch."""
    last_checkpoint: Path
    best_checkpoint: Path
    n_parameters: int
    wall_seconds: float
    threads: int
    device: str
    n_train: int
    n_validation: int
    micro_batch: int
    """Largest group that went through the network at once, as in `FitOptions`."""


OnEpoch = Callable[[EpochRecord], None]
"""Told of every finished epoch, once its files are on disk."""
