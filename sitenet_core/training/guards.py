"""What ends a training early, each as the error that says who acts."""

import math
import time
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sitenet_core.errors import NonFiniteLossError, TrialTimeoutError


class _Look(NamedTuple):
    """A loss on its way from a GPU to the host."""

    batch: int
    loss: Tensor
    """() in pinned memory, complete when `arrived`."""
    arrived: torch.cuda.Event

    @classmethod
    def at(cls, batch: int, loss: Tensor) -> "_Look":
        host = torch.empty((), dtype=loss.dtype, pin_memory=True)
        host.copy_(loss, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        return cls(batch, host, arrived)


class FiniteLoss(Callback):
    """Ends a training whose loss is NaN or infinite, before anything is saved."""

    def __init__(self, first_epoch: int, learning_rate: float) -> None:
        """Keep what the message names; `first_epoch` epochs were done before."""
        self._first_epoch = first_epoch
        self._learning_rate = learning_rate
        self._look: _Look | None = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Look at the loss; at what has arrived of it from a GPU, never waiting.

        A loss that is no number spoils the weights and all losses after it, so that
        none has to be looked at by itself.
        """
        loss: Tensor = outputs["loss"]
        if loss.device.type != "cuda":
            self._check_loss(trainer, batch_idx, loss)
            return
        look = self._look
        if look is not None and look.arrived.query():  # type: ignore[no-untyped-call]
            self._check_loss(trainer, look.batch, look.loss)
            self._look = None
        if self._look is None:
            self._look = _Look.at(batch_idx, loss)

    def on_train_epoch_end(self, *_: Any) -> None:
        """Forget what has not arrived: the mean over the epoch is checked as well."""
        self._look = None

    def _check_loss(self, trainer: Trainer, batch: int, loss: Tensor) -> None:
        self.check(trainer, f"loss of batch {batch + 1}", loss.item())

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
