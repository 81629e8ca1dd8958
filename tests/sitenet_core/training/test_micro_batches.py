"""A declared batch may go through the network in groups: nothing else changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Trainer
from pytorch_lightning.plugins import MixedPrecision
from support.sitenet_training import CHANGES, build_prototypes, prototype_data
from support.toy_training import (
    FAMILY,
    ToyConfig,
    same_tensors,
    toy_config,
    toy_data,
    train_toy,
)
from torch import Tensor, nn

from sitenet_core.config import OptimizerConfig
from sitenet_core.errors import ConfigError
from sitenet_core.families import get_family
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training import FitOptions, FitResult, TrainingData, fit
from sitenet_core.training.checkpoints import load_state
from sitenet_core.training.loader import CrystalSet, Loading, TrainingBatches
from sitenet_core.training.machine import quiet_lightning
from sitenet_core.training.module import TrainingModule
from sitenet_core.training.residence import crystal_source

pytestmark = pytest.mark.usefixtures("toy")

NORMS = ["layer", "none", "batch"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return prototype_data(build_prototypes(tmp_path_factory.mktemp("stores")))


@dataclass
class Seen:
    """What one training did, step by step and group by group."""

    gradients: list[Tensor] = field(default_factory=list)
    """Of every step, before they are clipped."""
    groups: list[list[int]] = field(default_factory=list)
    """Pairs of each group of every step."""
    norms: list[float] = field(default_factory=list)
    """What was clipped."""


@contextmanager
def watched() -> Iterator[Seen]:
    """Watch the trainings of this process."""
    seen = Seen()
    before, error = TrainingModule.on_before_optimizer_step, TrainingModule._error
    step, clip = TrainingModule.training_step, nn.utils.clip_grad_norm_

    def at_step(self: TrainingModule, *args: Any) -> None:
        found = [
            p.grad.flatten() for p in self.network.parameters() if p.grad is not None
        ]
        seen.gradients.append(torch.cat(found).clone())
        before(self, *args)

    def on_batch(self: TrainingModule, *args: Any) -> Tensor:
        seen.groups.append([])
        return step(self, *args)

    def on_group(self: TrainingModule, batch: Any) -> Tensor:
        if self.training:
            seen.groups[-1].append(len(getattr(batch, "pair_site", batch.targets)))
        return error(self, batch)

    def on_clip(*args: Any) -> Tensor:
        seen.norms.append(float(clip(*args)))
        return torch.tensor(seen.norms[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingModule, "on_before_optimizer_step", at_step)
        patch.setattr(TrainingModule, "training_step", on_batch)
        patch.setattr(TrainingModule, "_error", on_group)
        patch.setattr(nn.utils, "clip_grad_norm_", on_clip)
        yield seen


def sitenet(norm: str, sites: int, **optimizer: Any) -> SiteNetConfig:
    """Return a float64 Site-Net with declared batches of `sites` unique sites."""
    return SiteNetConfig.from_preset(
        "test",
        CHANGES
        | {
            "batch": {"unique_sites": sites},
            "model": {"normalization": norm},
            "training": {"epochs": 1, "precision": "64"},
            "optimizer": optimizer,
        },
    )


def trained(
    data: TrainingData, config: SiteNetConfig, budget: int | None
) -> tuple[Seen, FitResult]:
    """Return what a training with groups of `budget` pairs did."""
    with TemporaryDirectory() as folder, watched() as seen:
        options = FitOptions(Path(folder), threads=1, device="cpu", micro_batch=budget)
        result = fit(config, data, options)
    return seen, result


def assert_same_steps(one: Seen, other: Seen, tolerance: float) -> None:
    assert len(one.gradients) == len(other.gradients)
    for mine, theirs in zip(one.gradients, other.gradients, strict=True):
        assert float((mine - theirs).abs().max() / theirs.abs().max()) < tolerance


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_gradients_of_groups_add_up_to_that_of_the_batch(
    data: TrainingData, norm: str
) -> None:
    wholes: dict[int, Seen] = {}

    @settings(max_examples=10, deadline=None)
    @given(st.integers(1, 450), st.sampled_from([24, 90, 1200]))
    def check(budget: int, sites: int) -> None:
        config = sitenet(norm, sites)
        if sites not in wholes:
            wholes[sites] = trained(data, config, 10**9)[0]
        whole = wholes[sites]
        assert all(len(groups) == 1 for groups in whole.groups)
        split, _ = trained(data, config, budget)
        assert [sum(g) for g in split.groups] == [sum(g) for g in whole.groups]
        # Later steps start from weights that differ by rounding already.
        assert_same_steps(split, whole, 1e-9)
        first = (split.gradients[0] - whole.gradients[0]).abs().max()
        assert float(first / whole.gradients[0].abs().max()) < 1e-12

    check()


@pytest.mark.parametrize("norm", NORMS)
def test_a_batch_is_split_unless_its_statistics_are_one(
    data: TrainingData, norm: str
) -> None:
    seen, _ = trained(data, sitenet(norm, 90), 25)
    sizes = [n for groups in seen.groups for n in groups]
    assert max(sum(groups) for groups in seen.groups) > 25
    if norm == "batch":
        assert all(len(groups) == 1 for groups in seen.groups)
        return
    alone = {int(n) for n in data.store.column("n_pairs")}
    assert any(n > 25 for n in sizes), "a crystal above the budget must be there"
    assert all(n <= 25 or n in alone for n in sizes)


def test_training_with_any_budget_ends_at_the_same_errors(data: TrainingData) -> None:
    config = sitenet("layer", 90).model_copy(
        update={
            "training": sitenet("layer", 90).training.model_copy(update={"epochs": 5})
        }
    )
    ends = [trained(data, config, budget)[1] for budget in (1, 70, 10**9)]
    assert [r.micro_batch for r in ends] == [1, 70, 10**9]
    for result in ends[1:]:
        assert result.val_mae == pytest.approx(ends[0].val_mae, rel=1e-9)


def test_the_summed_gradient_is_clipped_once_per_step(data: TrainingData) -> None:
    config = sitenet("layer", 90, gradient_clip_norm=1e-3)
    whole, _ = trained(data, config, 10**9)
    split, _ = trained(data, config, 50)
    assert len(split.norms) == len(split.groups)
    assert sum(map(len, split.groups)) > len(split.groups)
    assert split.norms == pytest.approx(whole.norms, rel=1e-9)
    assert split.norms == pytest.approx([float(g.norm()) for g in split.gradients])
    assert min(split.norms) > 1e-3


def test_no_limit_clips_nothing(data: TrainingData) -> None:
    seen, _ = trained(data, sitenet("layer", 90, gradient_clip_norm=None), 50)
    assert seen.norms == []


def toy_without_norm(epochs: int = 4) -> ToyConfig:
    plain = toy_config(epochs=epochs).model_dump()
    return ToyConfig.model_validate(plain | {"model": {"norm": "none"}})


def test_a_resumed_training_may_have_other_groups(tmp_path: Path) -> None:
    config = toy_without_norm()
    options = FitOptions(tmp_path / "a", until_epoch=2, threads=1, device="cpu")
    half = fit(config, toy_data(), options)
    rest = FitOptions(
        tmp_path / "b",
        resume_from=half.last_checkpoint,
        threads=1,
        device="cpu",
        micro_batch=3,
    )
    end = fit(config, toy_data(), rest)
    whole, _ = train_toy(tmp_path / "whole", config)
    assert end.val_mae == pytest.approx(whole.val_mae, rel=1e-4)
    budgets = [
        load_state(r.last_checkpoint).machine["micro_batch"] for r in (half, end)
    ]
    assert budgets == [12, 3]


def test_resuming_with_the_same_groups_is_bit_for_bit(tmp_path: Path) -> None:
    config = toy_without_norm()

    def run(name: str, until: int, resume_from: Path | None = None) -> FitResult:
        options = FitOptions(
            tmp_path / name,
            until_epoch=until,
            resume_from=resume_from,
            threads=1,
            device="cpu",
            micro_batch=4,
        )
        return fit(config, toy_data(), options)

    whole, half = run("whole", 4), run("a", 2)
    rest = run("b", 4, half.last_checkpoint)
    one, two = (load_state(r.last_checkpoint) for r in (whole, rest))
    assert same_tensors(one.weights, two.weights)
    assert same_tensors(one.optimizer, two.optimizer)


def test_a_group_of_nothing_is_refused(tmp_path: Path) -> None:
    options = FitOptions(tmp_path, device="cpu", micro_batch=0)
    with pytest.raises(ConfigError, match=r"micro_batch is 0; .* at least 1"):
        fit(toy_config(), toy_data(), options)


class Scaled(TrainingModule):
    """Remembers the norm of each gradient that reaches the optimiser."""

    norms: list[float]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        grads = [p.grad for p in self.network.parameters() if p.grad is not None]
        self.norms.append(float(torch.cat([g.flatten() for g in grads]).norm()))
        super().on_before_optimizer_step(optimizer)


def gradient_norms(folder: Path, precision: str | None) -> list[float]:
    """Return the norms of one epoch's gradients, with a gradient scaler or without."""
    config, data = toy_without_norm(), toy_data()
    loading = Loading(FAMILY, crystal_source(FAMILY, data.store, "cpu"), "n_beads", 4)
    sets = [
        CrystalSet.of(loading, config, data, ids)
        for ids in (data.training_ids, data.validation_ids)
    ]
    torch.manual_seed(0)
    network = FAMILY.build(config, _meta(data))
    # A rate of almost nothing: every step sees the first weights.
    settings = OptimizerConfig(learning_rate=1e-12, gradient_clip_norm=0.5)
    module = Scaled(network, settings, fused=precision is None)
    module.norms = []
    plugins: list[Any] = [LightningEnvironment()]
    if precision is not None:
        # The first scale of 2^16 would overflow once and skip that step.
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
        plugins.append(MixedPrecision("16-mixed", "cpu", scaler))
    with quiet_lightning():
        Trainer(
            accelerator="cpu",
            plugins=plugins,
            max_epochs=1,
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, datamodule=TrainingBatches(*sets, seed=0, first_epoch=0))
    return module.norms


def _meta(data: TrainingData) -> Any:
    from sitenet_core.families import ModelMeta

    return ModelMeta(data.target)


def test_a_scaled_gradient_is_clipped_at_its_own_length(tmp_path: Path) -> None:
    scaled = gradient_norms(tmp_path, "16-mixed")
    plain = gradient_norms(tmp_path, None)
    assert len(scaled) == len(plain) > 2
    np.testing.assert_allclose(scaled, plain, rtol=0.02)


def test_compiling_is_asked_of_the_network_after_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = toy_config(epochs=1).model_dump()
    plain["training"]["compile"] = True
    config = ToyConfig.model_validate(plain)
    with pytest.raises(ConfigError, match=r"family 'toy' has nothing to compile"):
        train_toy(tmp_path / "a", config)
    compiled = []
    build = type(FAMILY).build

    def with_compilation(*args: Any) -> nn.Module:
        network = build(*args)
        network.compile_pairs = lambda: compiled.append(network)  # type: ignore[assignment]
        return network

    monkeypatch.setattr(type(FAMILY), "build", with_compilation)
    train_toy(tmp_path / "b", config)
    train_toy(tmp_path / "c", toy_config(epochs=1))
    assert len(compiled) == 1


@pytest.mark.parametrize("norm", NORMS)
def test_wider_networks_get_smaller_groups(norm: str) -> None:
    family = get_family("sitenet")
    for memory in (None, 10**9):
        sizes = []
        for heads in (1, 3, 8):
            model = {"attention_heads": heads, "normalization": norm}
            config = SiteNetConfig.from_preset("paper", {"model": model})
            micro = family.micro_batch(config, memory)
            assert micro.splits == (norm != "batch")
            sizes.append(micro.budget)
        assert sizes[0] > sizes[1] > sizes[2] >= 1
    config = SiteNetConfig.from_preset("paper")
    assert family.micro_batch(config, 10**11).budget == pytest.approx(
        10 * family.micro_batch(config, 10**10).budget, rel=1e-3
    )
