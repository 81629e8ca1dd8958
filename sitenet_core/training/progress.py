"""A progress bar over epochs, on standard error."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sitenet_core.training.epochs import EpochEnd


class ProgressBar(Callback):
    """Shows epochs done, the last errors, and the time that is left."""

    def __init__(self, epochs: EpochEnd, until_epoch: int, unit: str) -> None:
        """Show the curve of `epochs` up to `until_epoch`; errors are in `unit`."""
        self._epochs = epochs
        self._until = until_epoch
        self._unit = unit
        # Refreshed from the training itself: no thread of its own.
        self._bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            auto_refresh=False,
        )

    def on_train_start(self, *_: Any) -> None:
        """Show the bar at the epochs that are done already."""
        done = len(self._epochs.curve)
        self._task = self._bar.add_task("", total=self._until, completed=done)
        self._bar.start()

    def on_train_epoch_end(self, *_: Any) -> None:
        """Advance by one epoch and show its errors."""
        record = self._epochs.curve[-1]
        text = f"train {record.train_loss:.4g}"
        if record.val_mae is not None:
            text += f", validation {record.val_mae:.4g}"
        self._bar.update(
            self._task, completed=record.epoch, description=f"{text} {self._unit}"
        )
        self._bar.refresh()

    def on_train_end(self, *_: Any) -> None:
        """Leave the finished bar on the screen."""
        self._bar.stop()

    def on_exception(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Give the screen back."""
        self._bar.stop()
