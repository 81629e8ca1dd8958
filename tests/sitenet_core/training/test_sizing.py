"""The division of a batch that is expected to fit, and what it is at when it fails."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.plain_memory import largest_batch
from support.sitenet_training import CONFIG, build_prototypes, prototype_data

from sitenet_core.errors import OutOfMemoryError
from sitenet_core.families import MicroBatch, get_family
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training import FitOptions, TrainingData, fit
from sitenet_core.training.calibration import Calibration, Machine
from sitenet_core.training.crystals import Crystals
from sitenet_core.training.forecast import amounts, store_sizes
from sitenet_core.training.module import TrainingModule
from sitenet_core.training.sizing import MemoryModel, plan_memory, some_crystals
from sitenet_core.training.splitting import (
    in_use,
    is_smallest,
    smallest_budget,
    split_in_use,
)

GUESS = MemoryModel.guessed("cpu", 1)
FAMILY = get_family("sitenet")
SIZES = {
    "n_unique_sites": np.arange(10, 60),
    "n_sites": np.arange(10, 60),
    "n_pairs": np.arange(10, 60) * 150,
}
CRYSTALS = Crystals(SIZES)


def paper(**model: Any) -> SiteNetConfig:
    return SiteNetConfig.from_preset("paper", {"model": model})


def test_with_room_a_training_is_divided_as_suits_the_device() -> None:
    for room in (None, 10**12):
        plan = plan_memory(paper(), CRYSTALS, GUESS, room)
        assert plan.micro_batch == FAMILY.micro_batch(paper(), None).budget
        assert plan.fits
        assert not plan.smallest
        assert plan.memory_bytes == room


@given(st.floats(0.7e9, 2e9), st.sampled_from(["layer", "batch"]))
def test_the_largest_group_of_those_that_fit_is_chosen(room: float, norm: str) -> None:
    config = paper(normalization=norm)
    plan = plan_memory(config, CRYSTALS, GUESS, int(room))
    assert plan.fits or plan.smallest
    if plan.micro_batch == FAMILY.micro_batch(config, None).budget:
        return
    twice = plan_memory(config, CRYSTALS, GUESS, None, 2 * plan.micro_batch)
    assert twice.predicted_bytes >= plan.predicted_bytes
    assert not twice.predicted_bytes < int(room), "a larger group would have fitted"


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_smaller_groups_are_expected_to_take_less(norm: str) -> None:
    config, peaks = paper(normalization=norm), []
    for most in (20000, 14000, 9000):
        plan = plan_memory(config, CRYSTALS, GUESS, None, most)
        assert plan.micro_batch == most
        peaks.append(plan.predicted_bytes)
    assert peaks[0] > peaks[1] > peaks[2]


def test_batch_norm_keeps_the_batch_whole_and_lowers_the_budget_of_pairs() -> None:
    changes = {"model": {"normalization": "batch"}, "batch": {"unique_sites": 200}}
    config = SiteNetConfig.from_preset("paper", changes)
    total = largest_batch(config, SIZES, "n_pairs")
    free, tight = (
        plan_memory(config, CRYSTALS, GUESS, None, most)
        for most in (2 * total, total - 1)
    )
    assert tight.predicted_bytes < free.predicted_bytes
    # The first budget below the largest batch is half of it.
    chosen = plan_memory(config, CRYSTALS, GUESS, tight.predicted_bytes)
    assert chosen.micro_batch == total // 2


def test_what_never_fits_gets_the_smallest_groups() -> None:
    plan = plan_memory(paper(), CRYSTALS, GUESS, 10**6)
    assert plan.smallest
    assert plan.micro_batch == 512
    assert not plan.fits


def test_the_groups_of_several_threads_are_in_memory_together() -> None:
    one, two = (
        plan_memory(paper(), CRYSTALS, replace(GUESS, threads=n), None, 8192)
        for n in (1, 2)
    )
    assert two.predicted_bytes > one.predicted_bytes
    alone = [
        plan_memory(paper(), CRYSTALS, replace(GUESS, threads=n), None, 512)
        for n in (1, 2)
    ]
    assert alone[0] == alone[1], "at the smallest they go one after the other"


def test_a_calibration_says_what_counted_bytes_take() -> None:
    machine = Machine("sitenet", 2, "cpu", "a processor", 1, "2.0", "c0")
    known = Calibration(machine, None, 5 * 10**8, (0.0,) * 4, (2.0, 3e7), ())
    model = MemoryModel.calibrated(known, 1)
    found = amounts(paper(), SIZES, None)
    peak = model.peak_bytes(found.kept_bytes, found.parameters)
    assert peak == 5 * 10**8 + known.peak_bytes(found)
    assert model.groups_counted
    assert not MemoryModel.calibrated(known, 2).groups_counted


def test_a_gpu_is_filled_by_its_share() -> None:
    model = MemoryModel.guessed("gpu", 1)
    small, large = (
        plan_memory(paper(), CRYSTALS, model, n * 2**30).micro_batch for n in (8, 16)
    )
    assert large == pytest.approx(2 * small, rel=1e-3)


def test_a_sample_of_crystals_has_the_largest() -> None:
    few = some_crystals(SIZES, 10)
    assert 10 <= len(few["n_pairs"]) <= 13
    assert few["n_pairs"].max() == SIZES["n_pairs"].max()
    assert len(some_crystals(SIZES, 1000)["n_sites"]) == 50


def test_the_smallest_budget_makes_every_crystal_a_group() -> None:
    micro = MicroBatch("n_pairs", 100, splits=True, smallest=50)
    assert smallest_budget(micro, np.array([700, 90, 400])) == 50
    assert smallest_budget(micro, np.array([7, 5, 400])) == 11
    assert smallest_budget(replace(micro, splits=False), np.array([7, 5])) == 50
    assert not is_smallest(micro, np.array([7, 5, 400]))
    assert is_smallest(replace(micro, budget=11), np.array([7, 5, 400]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return prototype_data(build_prototypes(tmp_path_factory.mktemp("stores")))


def test_a_budget_above_the_largest_batch_counts_as_that_batch(
    data: TrainingData,
) -> None:
    weights = data.store.column("n_pairs").ravel()
    used, smallest = split_in_use(
        FAMILY, CONFIG, data, MicroBatch("n_pairs", 10**9, splits=True)
    )
    assert weights.max() <= used <= weights.sum()
    every = store_sizes(FAMILY, data.store)
    rows = (data.store.index_of(s) for s in (data.training_ids, data.validation_ids))
    parts = [{name: c[chosen] for name, c in every.items()} for chosen in rows]
    assert used == max(largest_batch(CONFIG, part, "n_pairs") for part in parts)
    assert not smallest
    small = MicroBatch("n_pairs", 1, splits=True)
    assert split_in_use(FAMILY, CONFIG, data, small) == (1, True)


def test_each_of_several_threads_has_its_share_of_the_largest_batch() -> None:
    micro = MicroBatch("n_pairs", 10**9, splits=True)
    assert in_use(micro, 100_000, 1) == 100_000
    assert in_use(micro, 100_000, 4) == 25_000
    assert in_use(replace(micro, budget=7), 100_000, 4) == 7
    assert in_use(replace(micro, splits=False), 100_000, 4) == 100_000


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_lack_of_memory_says_how_much_was_at_once(
    data: TrainingData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(TrainingModule, "_error", fail)
    options = FitOptions(tmp_path, threads=1, device="cpu", micro_batch=70)
    with pytest.raises(OutOfMemoryError, match="no memory left") as caught:
        fit(CONFIG, data, options)
    assert (caught.value.micro_batch, caught.value.smallest) == (70, False)
    options = replace(options, micro_batch=1)
    with pytest.raises(OutOfMemoryError) as caught:
        fit(CONFIG, data, options)
    assert (caught.value.micro_batch, caught.value.smallest) == (1, True)
