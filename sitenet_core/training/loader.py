"""Batches of a packed store, planned anew for every epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_lightning import LightningDataModule

from sitenet_core.config import TrialConfig
from sitenet_core.data.batches import epoch_order, plan_batches
from sitenet_core.data.store import PackedStore
from sitenet_core.families.protocol import Batch, ModelFamily
from sitenet_core.training.options import TrainingData
from sitenet_core.training.targets import target_values


def batch_sizes(
    family: ModelFamily, config: TrialConfig, store: PackedStore, rows: np.ndarray
) -> tuple[np.ndarray, int]:
    """Return what each row takes of the batch budget, (n,) int64, and the budget."""
    unit, budget = family.batch_budget(config)
    if unit == "crystals":
        return np.ones(len(rows), dtype=np.int64), budget
    return np.asarray(store.column(unit), dtype=np.int64)[rows], budget


@dataclass(frozen=True)
class CrystalSet:
    """Crystals of a store with their targets, and how they fill batches."""

    family: ModelFamily
    store: PackedStore
    rows: np.ndarray
    """(n,) int64, rows of the store."""
    targets: np.ndarray
    """(n, n_targets) float64, in the target's unit."""
    sizes: np.ndarray
    """(n,) int64, in the unit of `budget`."""
    budget: int

    @classmethod
    def of(
        cls,
        family: ModelFamily,
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
        sizes, budget = batch_sizes(family, config, data.store, rows)
        return cls(family, data.store, rows, targets, sizes, budget)

    def plan(self, order: np.ndarray) -> list[np.ndarray]:
        """Return the batches, as positions in this set, that take up `order`."""
        return plan_batches(self.sizes, self.budget, order=order)


@dataclass(frozen=True)
class BatchSequence:
    """A known number of batches, collated one by one as they are asked for."""

    crystals: CrystalSet
    batches: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        chosen = self.crystals
        for positions in self.batches:
            records = [chosen.store.record(int(row)) for row in chosen.rows[positions]]
            yield chosen.family.collate(records, chosen.targets[positions])


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
        batch: Batch,
        device: torch.device,
        dataloader_idx: int,  # noqa: ARG002
    ) -> Batch:
        """Return the batch on `device`; the family knows how."""
        return batch.to(device)
