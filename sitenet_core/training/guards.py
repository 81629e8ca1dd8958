"""What ends a training early, each as the error that says who acts."""

import math
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sitenet_core.errors import NonFiniteLossError, TrialTimeoutError

_GPU_CHECK_EVERY = 50
"""Batches between two looks at the loss on a GPU, where a look waits for the queue."""


class FiniteLoss(Callback):
    """Ends a training whose loss is NaN or infinite, before anything is saved."""

    def __init__(self, first_epoch: int, learning_rate: float) -> None:
        """Keep what the message names; `first_epoch` epochs were done before."""
        self._first_epoch = first_epoch
        self._learning_rate = learning_rate

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Look at the loss: each on a CPU, one in fifty on a GPU."""
        loss: Tensor = outputs["loss"]
        if pl_module.device.type != "cpu" and batch_idx % _GPU_CHECK_EVERY:
            return
        self.check(trainer, f"loss of batch {batch_idx + 1}", loss.item())

    def check(self, trainer: Trainer, what: str, value: float) -> None:
        """Refuse a value that is not a number.

        Raises:
            NonFiniteLossError: naming epoch and learning rate.
        """
        if math.isfinite(value):
            return
        epoch = self._first_epoch + trainer.current_epoch + 1
        raise NonFiniteLossError(
            f"the {what} became {value} in epoch {epoch} at learning rate "
            f"{self._learning_rate:.6g}; lower the learning rate or clip the gradient"
        )


class Deadline(Callback):
    """Ends a training that has used up its time, at the next batch."""

    def __init__(self, seconds: float, started: float) -> None:
        """Allow `seconds` after `started`, a reading of the monotonic clock."""
        self._seconds = seconds
        self._started = started

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Look at the clock."""
        self._check(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Look at the clock."""
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        used = time.monotonic() - self._started
        if used > self._seconds:
            raise TrialTimeoutError(
                f"the training used up its {self._seconds:.3g} s after "
                f"{trainer.current_epoch} finished epochs of this run; give it more "
                "time or fewer epochs, or continue from its last finished epoch"
            )
