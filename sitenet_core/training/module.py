"""The thin Lightning wrapper around a family's network."""

from collections.abc import Callable

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError

from sitenet_core.config import OptimizerConfig
from sitenet_core.families.protocol import Batch


class TrainingModule(LightningModule):
    """Trains a network by MAE on raw targets (Site-Net, doi:10.1039/d3dd00005b).

    `forward` is the training path and the prediction path. Both metrics count every
    crystal once, however unevenly the batches are filled.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerConfig,
        restore: Callable[[torch.optim.Optimizer], None] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._settings = optimizer
        self._restore = restore
        self.train_mae = MeanAbsoluteError().set_dtype(torch.float64)
        self.val_mae = MeanAbsoluteError().set_dtype(torch.float64)

    def forward(self, batch: Batch) -> Tensor:
        """Return predictions, (n_crystals, n_targets), in the target's unit."""
        predictions: Tensor = self.network(batch)
        return predictions

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the MAE of one batch, (), and count its crystals."""
        predictions = self.forward(batch)
        targets = batch.targets
        # Mixed precision predicts in half: the difference is taken in the wider type.
        wide = torch.promote_types(predictions.dtype, targets.dtype)
        loss = (predictions.to(wide) - targets.to(wide)).abs().mean()
        self.train_mae.update(predictions.detach().double(), targets.double())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count the crystals of one batch."""
        self.val_mae.update(self.forward(batch).double(), batch.targets.double())

    def on_train_epoch_start(self) -> None:
        """Empty both metrics."""
        self.train_mae.reset()
        self.val_mae.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW, with its state where a training is resumed."""
        settings = self._settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            amsgrad=settings.amsgrad,
        )
        if self._restore is not None:
            self._restore(optimizer)
        return optimizer
