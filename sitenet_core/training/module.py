"""The thin Lightning wrapper around a family's network."""

from collections.abc import Callable, Iterator

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from sitenet_core.config import OptimizerConfig
from sitenet_core.families.protocol import Batch
from sitenet_core.training.loader import DeclaredBatch
from sitenet_core.training.mean_error import ErrorMean
from sitenet_core.training.workers import GroupWorkers


class TrainingModule(LightningModule):
    """Trains a network by MAE on raw targets (Site-Net, doi:10.1039/d3dd00005b).

    `forward` is the training path and the prediction path. Both errors count every
    crystal once, however unevenly the batches are filled. The gradient of a declared
    batch is the sum over its groups, so that its size does not decide how much memory
    a step takes.

    Args:
        network: what is trained.
        optimizer: settings of AdamW.
        restore: gives the optimiser the state of a resumed training.
        fused: AdamW as one kernel. Mixed precision with a gradient scaler goes without:
            a fused step removes the scale itself, after gradients were to be clipped.
        workers: take several groups through the network at once, in full precision.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerConfig,
        restore: Callable[[torch.optim.Optimizer], None] | None = None,
        *,
        fused: bool = True,
        workers: GroupWorkers | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self._settings = optimizer
        self._restore = restore
        self._fused = fused
        self._workers = workers
        self.train_error = ErrorMean()
        self.val_error = ErrorMean()

    def forward(self, batch: Batch) -> Tensor:
        """Return predictions, (n_crystals, n_targets), in the target's unit."""
        predictions: Tensor = self.network(batch)
        return predictions

    def training_step(self, batch: DeclaredBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Change the weights once; return the MAE of the declared batch, ()."""
        optimizer = self.optimizers()
        if isinstance(optimizer, list):
            raise TypeError("one optimiser changes the weights")
        optimizer.zero_grad()
        n_values = batch.n_values
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for error in self._backward(batch):
            total += error
        with torch.autocast(self.device.type, enabled=False):
            optimizer.step()
        self.train_error.add(total, n_values)
        return total / n_values

    def _backward(self, batch: DeclaredBatch) -> Iterator[Tensor]:
        """Add the gradients of the groups in their order; yield their errors."""
        if self._workers is not None:
            yield from self._backward_at_once(self._workers, batch)
            return
        for group in batch:
            error = self._error(group)
            # What was computed in half precision has its gradient in half; what was
            # kept out of it must be kept out here too.
            with torch.autocast(self.device.type, enabled=False):
                self.manual_backward(error / batch.n_values)
            yield error.detach()

    def _backward_at_once(
        self, workers: GroupWorkers, batch: DeclaredBatch
    ) -> Iterator[Tensor]:
        parameters = list(self.network.parameters())

        def work(group: Batch) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            error = self._error(group)
            loss = error / batch.n_values
            # Not into `.grad`, where threads would meet.
            return error.detach(), torch.autograd.grad(
                loss, parameters, allow_unused=True
            )

        for error, gradients in workers.results(work, batch):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    before = parameter.grad
                    parameter.grad = gradient if before is None else before + gradient
            yield error

    def validation_step(self, batch: DeclaredBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Count the crystals of one batch."""

        @torch.no_grad()
        def work(group: Batch) -> tuple[Tensor, int]:
            return self._error(group), group.targets.numel()

        workers = self._workers
        done = map(work, batch) if workers is None else workers.results(work, batch)
        for error, count in done:
            self.val_error.add(error, count)

    def _error(self, batch: Batch) -> Tensor:
        """Return the sum of the absolute errors, ()."""
        predictions, targets = self.forward(batch), batch.targets
        # Mixed precision predicts in half: the difference is taken in the wider type.
        wide = torch.promote_types(predictions.dtype, targets.dtype)
        return (predictions.to(wide) - targets.to(wide)).abs().sum()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Clip the summed gradient, once, when a gradient scaler has removed its scale.

        The norm stays on the device.
        """
        limit = self._settings.gradient_clip_norm
        if limit is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), limit)

    def on_train_epoch_start(self) -> None:
        """Forget the errors of the epoch before."""
        self.train_error = ErrorMean()
        self.val_error = ErrorMean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW, with its state where a training is resumed."""
        settings = self._settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            amsgrad=settings.amsgrad,
            fused=self._fused,
        )
        if self._restore is not None:
            self._restore(optimizer)
        return optimizer
