"""Batches of a packed store, planned anew for every epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_lightning import LightningDataModule

from sitenet_core.config import TrialConfig
from sitenet_core.data.batches import epoch_order, plan_batches, plan_groups
from sitenet_core.data.gathering import CrystalSource
from sitenet_core.families.protocol import Batch, ModelFamily
from sitenet_core.training.crystals import taken
from sitenet_core.training.forecast import store_sizes
from sitenet_core.training.options import TrainingData
from sitenet_core.training.targets import target_values
from sitenet_core.training.workers import shared_budget


@dataclass(frozen=True)
class Loading:
    """Where the arrays come from and how much goes through the network at once."""

    family: ModelFamily
    source: CrystalSource
    unit: str
    """Crystal-scope array that groups are measured by."""
    budget: int | None
    """Largest sum of it in a group; None does not divide a batch."""
    n_threads: int = 1
    """Threads that work on a group each."""


@dataclass(frozen=True)
class CrystalSet:
    """Crystals of a store with their targets, and how they fill batches."""

    loading: Loading
    rows: np.ndarray
    """(n,) int64, rows of the store."""
    targets: np.ndarray
    """(n, n_targets) float64, in the target's unit."""
    sizes: np.ndarray
    """(n,) int64, in the unit of `budget`."""
    budget: int
    weights: np.ndarray
    """(n,) int64, in the unit of the groups."""

    @classmethod
    def of(
        cls,
        loading: Loading,
        config: TrialConfig,
        data: TrainingData,
        ids: tuple[str, ...],
    ) -> "CrystalSet":
        """Return the crystals `ids` of `data` as `config` batches them.

        Raises:
            DataError: if a crystal is not in the store or has no target.
        """
        rows = data.store.index_of(ids)
        targets = target_values(data.store, data.target, rows)[:, None]
        every = store_sizes(loading.family, data.store)
        filled, budget = loading.family.batch_budget(config)
        takes, weights = taken(every, filled)[rows], every[loading.unit][rows]
        return cls(loading, rows, targets, takes, budget, weights)

    def plan(self, order: np.ndarray) -> list[np.ndarray]:
        """Return the batches, as positions in this set, that take up `order`."""
        return plan_batches(self.sizes, self.budget, order=order)


@dataclass(frozen=True)
class DeclaredBatch:
    """The crystals of one optimiser step, which come in groups that fit into memory.

    Each group is made when it is asked for, and none is kept.
    """

    crystals: CrystalSet
    positions: np.ndarray
    """(n_crystals,) in the set."""

    @property
    def n_values(self) -> int:
        """Number of targets of all crystals, which the loss is the mean over."""
        return int(self.crystals.targets[self.positions].size)

    def __iter__(self) -> Iterator[Batch]:
        chosen = self.crystals
        loading = chosen.loading
        total = int(chosen.weights[self.positions].sum())
        budget = shared_budget(loading.budget, total, loading.n_threads)
        for group in plan_groups(chosen.weights, budget, self.positions):
            ragged = loading.source.gather(chosen.rows[group])
            yield loading.family.collate(ragged, chosen.targets[group])


@dataclass(frozen=True)
class BatchSequence:
    """A known number of declared batches."""

    crystals: CrystalSet
    batches: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[DeclaredBatch]:
        return (DeclaredBatch(self.crystals, one) for one in self.batches)


class TrainingBatches(LightningDataModule):
    """Hands Lightning the batches of the epoch that comes next.

    The number of batches differs from epoch to epoch. The trainer asks for a new
    sequence before each epoch (`reload_dataloaders_every_n_epochs=1`), so that it
    neither cuts an epoch short nor counts on batches that do not come.
    """

    def __init__(
        self, training: CrystalSet, validation: CrystalSet, seed: int, first_epoch: int
    ) -> None:
        """Keep what the plan of an epoch depends on.

        Args:
            training: crystals that are shuffled.
            validation: crystals in fixed order; may be none.
            seed: decides every epoch's order together with the epoch.
            first_epoch: epochs done before this trainer's epoch 0.
        """
        super().__init__()
        self._training = training
        self._validation = validation
        self._seed = seed
        self._first_epoch = first_epoch

    def train_dataloader(self) -> BatchSequence:
        """Return the batches of the trainer's current epoch."""
        if self.trainer is None:
            raise RuntimeError("batches are planned for the epoch of a trainer")
        epoch = self._first_epoch + self.trainer.current_epoch
        order = epoch_order(len(self._training.rows), self._seed, epoch)
        return BatchSequence(self._training, self._training.plan(order))

    def val_dataloader(self) -> BatchSequence:
        """Return the validation batches, the same in every epoch."""
        order = np.arange(len(self._validation.rows))
        return BatchSequence(self._validation, self._validation.plan(order))

    def transfer_batch_to_device(
        self,
        batch: DeclaredBatch,
        device: torch.device,  # noqa: ARG002
        dataloader_idx: int,  # noqa: ARG002
    ) -> DeclaredBatch:
        """Return the batch as it is: its groups are made on the device."""
        return batch
