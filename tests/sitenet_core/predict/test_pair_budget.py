"""How much a network holds at once depends on the device that it predicts on."""

from pathlib import Path

import pytest
import torch
from support.command_line import write_bundle

from sitenet_core.bundle import Bundle, load_bundle
from sitenet_core.models.sitenet.network import SiteNet
from sitenet_core.predict.predictor import Predictor

MEMORY = 64 * 2**30
"""Bytes of a GPU."""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(write_bundle(tmp_path / "bundle"))


def budget_of(bundle: Bundle, memory_bytes: int | None) -> int:
    return bundle.family.micro_batch(bundle.config, memory_bytes).budget


def budget_held(bundle: Bundle) -> int | None:
    assert isinstance(bundle.network, SiteNet)
    return bundle.network.pair_budget


def test_on_a_gpu_the_budget_is_that_of_its_memory(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = "sitenet_core.predict.predictor"
    monkeypatch.setattr(f"{predictor}.choose_device", lambda _: "gpu")
    monkeypatch.setattr(f"{predictor}.torch_device", lambda _: torch.device("cpu"))
    memory = "sitenet_core.training.residence.free_memory"
    monkeypatch.setattr(memory, lambda device: {"gpu": MEMORY}[device])
    Predictor(bundle)
    assert budget_held(bundle) == budget_of(bundle, MEMORY) > budget_of(bundle, None)


def test_on_a_cpu_the_budget_is_that_of_a_cpu(bundle: Bundle) -> None:
    assert budget_held(bundle) == budget_of(bundle, None)
    assert isinstance(bundle.network, SiteNet)
    bundle.network.pair_budget = None
    Predictor(bundle, "cpu")
    assert budget_held(bundle) == budget_of(bundle, None)
