"""Batches are planned anew for every epoch, and nothing is lost."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.toy_training import (
    FAMILY,
    ToyBatch,
    ToyNetwork,
    ToyStore,
    toy_config,
    toy_data,
    train_toy,
)
from torch import Tensor

from sitenet_core.training import TrainingData
from sitenet_core.training.loader import BatchSequence, CrystalSet, Loading
from sitenet_core.training.residence import crystal_source

pytestmark = pytest.mark.usefixtures("toy")


def toy_crystals(data: TrainingData, budget: int | None = None) -> CrystalSet:
    """Return the training crystals, in groups of at most `budget` beads."""
    source = crystal_source(FAMILY, data.store, "cpu")
    loading = Loading(FAMILY, source, "n_beads", budget)
    return CrystalSet.of(loading, toy_config(), data, data.training_ids)


Batches = dict[int, list[list[float]]]


def watch(
    monkeypatch: pytest.MonkeyPatch, folder: Path, n: int
) -> tuple[Batches, Batches]:
    """Return the targets of each batch by epoch, training and validation, once run."""
    seen: tuple[Batches, Batches] = (defaultdict(list), defaultdict(list))
    forward = ToyNetwork.forward
    counts = [0, 0]

    def watched(self: ToyNetwork, batch: ToyBatch) -> Tensor:
        part = 0 if self.training else 1
        total = n if self.training else 9
        epoch = counts[part] // total + 1
        counts[part] += batch.n_crystals
        seen[part][epoch].append(batch.targets[:, 0].tolist())
        return forward(self, batch)

    monkeypatch.setattr(ToyNetwork, "forward", watched)
    train_toy(folder, toy_config(epochs=12), toy_data(n_train=n))
    return seen


def test_every_crystal_is_seen_once_per_epoch_in_an_order_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, _ = watch(monkeypatch, tmp_path, 24)
    data = toy_data()
    expected = sorted(torch.tensor(data.store.labels("y")[:24]).float().tolist())
    assert len(trained) == 12
    for batches in trained.values():
        assert sorted(sum(batches, [])) == expected  # noqa: RUF017
    assert len({str(batches) for batches in trained.values()}) == 12


def test_epochs_with_more_batches_than_the_one_before_are_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, _ = watch(monkeypatch, tmp_path, 24)
    numbers = [len(batches) for batches in trained.values()]
    grew = [b > a for a, b in pairwise(numbers)]
    shrank = [b < a for a, b in pairwise(numbers)]
    assert any(grew), numbers
    assert any(shrank), numbers
    assert all(sum(map(len, batches)) == 24 for batches in trained.values())


def test_validation_batches_are_the_same_in_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, validated = watch(monkeypatch, tmp_path, 24)
    assert len(validated) == 12
    assert len({str(batches) for batches in validated.values()}) == 1
    ids = torch.tensor(toy_data().store.labels("y")[24:33]).float().tolist()
    assert sum(validated[1], []) == ids  # noqa: RUF017


def test_batches_are_filled_in_the_familys_own_unit() -> None:
    data: TrainingData = toy_data(ToyStore(40, seed=2))
    crystals = toy_crystals(data)
    batches = BatchSequence(crystals, crystals.plan(crystals.rows))
    beads = [sum(len(group.beads) for group in batch) for batch in batches]  # type: ignore[attr-defined]
    firsts = [int(crystals.sizes[positions[0]]) for positions in batches.batches]
    assert len(batches) == len(beads) > 2
    assert max(beads) <= 12
    assert all(a + b > 12 for a, b in zip(beads, firsts[1:], strict=False))


@pytest.mark.parametrize("budget", [1, 4, 7, 100])
def test_groups_hold_the_crystals_of_their_batch_and_their_targets(budget: int) -> None:
    data: TrainingData = toy_data(ToyStore(40, seed=2))
    crystals = toy_crystals(data, budget)
    values = torch.from_numpy(data.store.labels("y")).float()
    for batch in BatchSequence(crystals, crystals.plan(crystals.rows)):
        groups = list(batch)
        beads = [len(group.beads) for group in groups]  # type: ignore[attr-defined]
        crystals_of = [group.n_crystals for group in groups]
        assert all(
            n <= budget or k == 1 for n, k in zip(beads, crystals_of, strict=True)
        )
        assert len(groups) > 1 or sum(beads) <= budget
        found = torch.cat([group.targets[:, 0] for group in groups])
        expected = values[crystals.rows[batch.positions]]
        assert found.sort().values.tolist() == expected.sort().values.tolist()
        means = [
            group.beads[group.owner == i].mean()  # type: ignore[attr-defined]
            for group in groups
            for i in range(group.n_crystals)
        ]
        torch.testing.assert_close(1 + 2 * torch.stack(means), found)
        assert batch.n_values == len(expected)
