"""What a trial may use, and how the crystals of a split are divided for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.sitenet_training import CONFIG, build_prototypes, prototype_data

from search.trial import memory
from search.trial.memory import Room, TrialMemory, memory_model, room_here
from sitenet_core.config import TrialConfig
from sitenet_core.families import get_family
from sitenet_core.training import TrainingData
from sitenet_core.training.calibrating import (
    Calibrating,
    calibration_path,
    this_machine,
)
from sitenet_core.training.calibration import Calibration
from sitenet_core.training.sizing import MemoryModel, MemoryPlan, plan_memory

FAMILY = get_family("sitenet")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return prototype_data(build_prototypes(tmp_path_factory.mktemp("stores")))


def test_a_trial_on_a_cpu_has_its_part_of_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 10**9)
    whole, part = (room_here("cpu", 2, share) for share in (1.0, 0.25))
    assert whole is not None
    assert part is not None
    assert whole.memory_bytes == pytest.approx(4 * (part.memory_bytes or 0), rel=1e-6)
    assert whole.memory_bytes < 10**9
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert room_here("cpu", 2, 1.0) == Room("cpu", 2, None)


def test_without_its_gpu_nothing_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert room_here("gpu", 1, 0.5) is None


def test_crystals_of_the_test_set_decide_nothing(data: TrainingData) -> None:
    split = data.split
    known = {*split.train, *split.validation}
    tight = TrialMemory(split, Room("cpu", 1, 1))
    plan = tight.plan(CONFIG, data.store.path)
    pairs = [
        int(n)
        for name, n in zip(
            data.store.ids, data.store.column("n_pairs").ravel(), strict=True
        )
        if name in known
    ]
    assert plan.smallest
    assert plan.micro_batch == min(512, sum(sorted(pairs)[:2]) - 1)
    limited = tight.plan(CONFIG, data.store.path, 1)
    assert limited.micro_batch == 1


def test_a_trial_is_planned_once_unless_something_has_changed(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = []

    def plan(config: TrialConfig, *rest: Any) -> MemoryPlan:
        planned.append(config)
        return plan_memory(config, *rest)

    monkeypatch.setattr(memory, "plan_memory", plan)
    trials, path = TrialMemory(data.split, Room("cpu", 1, 10**9)), data.store.path
    assert trials.plan(CONFIG, path) == trials.plan(CONFIG.model_copy(), path)
    assert planned == [CONFIG]
    assert trials.plan(CONFIG, path, 7).micro_batch == 7
    other = type(CONFIG).from_preset("test", {"batch": {"unique_sites": 12}})
    assert trials.plan(other, path) == trials.plan(other, path)
    assert planned == [CONFIG, CONFIG, other]


def test_the_first_division_is_kept_where_it_fits(data: TrainingData) -> None:
    path = data.store.path
    first, ample = (
        TrialMemory(data.split, Room("cpu", 1, room)).plan(CONFIG, path)
        for room in (1, None)
    )
    assert first.micro_batch < ample.micro_batch
    more = TrialMemory(data.split, Room("cpu", 1, 10**11), first_bytes=1)
    assert more.plan(CONFIG, path) == replace(first, memory_bytes=10**11)
    unknown = TrialMemory(data.split, Room("cpu", 1, None), first_bytes=1)
    assert unknown.plan(CONFIG, path).micro_batch == first.micro_batch
    assert unknown.plan(CONFIG, path, 1).micro_batch == 1, "unless memory ran out"
    room = ample.predicted_bytes - 1
    less = TrialMemory(data.split, Room("cpu", 1, room), first_bytes=10**11)
    assert less.plan(CONFIG, path).micro_batch < ample.micro_batch, "it has to fit"


def test_the_division_of_another_gpu_is_not_kept(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess = MemoryModel.guessed("gpu", 1)
    monkeypatch.setattr(memory, "memory_model", lambda *_: guess)
    trials, plain = (
        TrialMemory(data.split, Room("gpu", 1, 10**9), first_bytes=first)
        for first in (10**11, None)
    )
    path = data.store.path
    assert trials.plan(CONFIG, path) == plain.plan(CONFIG, path)


def test_a_calibration_beside_the_stores_is_used_and_a_damaged_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room("cpu", 2, None)
    guess = memory_model(FAMILY, tmp_path, room)
    assert guess == MemoryModel.guessed("cpu", 2)
    machine = this_machine(FAMILY, Calibrating(tmp_path, "cpu", 1))
    known = Calibration(machine, None, 5 * 10**8, (0.0,) * 4, (2.0, 3e7), ())
    path = calibration_path(tmp_path, machine)
    known.save(path)
    assert memory_model(FAMILY, tmp_path, room) == MemoryModel.calibrated(known, 2)
    path.write_text("{")
    assert memory_model(FAMILY, tmp_path, room) == guess
    assert "is not a calibration" in caplog.text
