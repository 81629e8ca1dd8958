"""What happens at the end of an epoch: record, best weights, files, caller."""

import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from sitenet_core.training.checkpoints import (
    BestWeights,
    Identity,
    TrainingState,
    save_best,
    save_state,
)
from sitenet_core.training.curve import write_curve
from sitenet_core.training.guards import FiniteLoss
from sitenet_core.training.machine import peak_bytes
from sitenet_core.training.module import TrainingModule
from sitenet_core.training.options import EpochRecord, OnEpoch


class TrainingFiles:
    """The files of a training in one folder."""

    def __init__(self, folder: Path) -> None:
        self.last = folder / "checkpoints" / "last.ckpt"
        self.best = folder / "checkpoints" / "best.ckpt"
        self.curve = folder / "curve.csv"

    def write(self, state: TrainingState, *, best_is_new: bool) -> None:
        """Bring every file to the end of an epoch; `last.ckpt` comes last."""
        if best_is_new:
            save_best(self.best, state.identity, state.best)
        write_curve(self.curve, state.curve)
        save_state(self.last, state)


class EpochEnd(Callback):
    """Writes the files at the end of each epoch, then tells the caller."""

    def __init__(
        self,
        identity: Identity,
        files: TrainingFiles,
        finite: FiniteLoss,
        machine: dict[str, Any],
        on_epoch: OnEpoch | None,
    ) -> None:
        """Start with nothing done; `resume` continues another training.

        Args:
            identity: what the checkpoints belong to.
            files: where they go.
            finite: refuses metrics that are no number.
            machine: threads, device and size of the groups, for the record.
            on_epoch: called once the files of an epoch are on disk.
        """
        self._identity = identity
        self._files = files
        self._finite = finite
        self._machine = machine
        self._on_epoch = on_epoch
        self._started = time.monotonic()
        self.curve: tuple[EpochRecord, ...] = ()
        self.best: BestWeights | None = None

    def resume(self, state: TrainingState) -> None:
        """Continue the curve and the best weights of `state`, in this folder."""
        self.curve = state.curve
        self.best = state.best
        self._files.write(state, best_is_new=True)

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock of the epoch."""
        self._started = time.monotonic()
        if self._machine["device"] == "gpu":
            torch.cuda.reset_peak_memory_stats()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record, save, and only then tell the caller."""
        if not isinstance(pl_module, TrainingModule):
            raise TypeError(f"cannot record the epochs of {type(pl_module).__name__}")
        record = self._record(trainer, pl_module)
        self.curve = (*self.curve, record)
        best_is_new = self.best is None or _improves(record, self.best)
        weights = weights_of(pl_module.network)
        if self.best is None or best_is_new:
            self.best = BestWeights(record.epoch, record.val_mae, weights)
        state = TrainingState(
            identity=self._identity,
            epoch=record.epoch,
            weights=weights,
            optimizer=trainer.optimizers[0].state_dict(),
            precision=trainer.precision_plugin.state_dict(),
            random=random_state(),
            curve=self.curve,
            best=self.best,
            machine=self._machine,
        )
        self._files.write(state, best_is_new=best_is_new)
        if self._on_epoch is not None:
            self._on_epoch(record)

    def _record(self, trainer: Trainer, module: TrainingModule) -> EpochRecord:
        train_loss, val_mae = module.train_error.value(), module.val_error.value()
        if train_loss is None:
            raise RuntimeError("an epoch ended without a batch")
        self._finite.check(trainer, "training loss", train_loss)
        if val_mae is not None:
            self._finite.check(trainer, "validation MAE", val_mae)
        return EpochRecord(
            epoch=len(self.curve) + 1,
            train_loss=train_loss,
            val_mae=val_mae,
            learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]),
            seconds=time.monotonic() - self._started,
            peak_bytes=peak_bytes(self._machine["device"]),
        )


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the network's parameters and buffers on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True)
        for name, tensor in network.state_dict().items()
    }


def random_state() -> dict[str, Tensor]:
    """Return torch's random state by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Continue the random numbers of a checkpoint on the devices that are here."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _improves(record: EpochRecord, best: BestWeights) -> bool:
    # Without validation the last weights are the ones to use.
    if record.val_mae is None or best.val_mae is None:
        return True
    return record.val_mae < best.val_mae
