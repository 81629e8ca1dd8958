"""One training step of each implementation, ready to be repeated.

A step is zero_grad, forward, backward, clip and optimiser. Ours also makes the groups
of its batch on the way, as training does; the others find theirs ready.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from support.dense_sitenet import DenseSiteNet, copied_weights
from torch import Tensor, nn

from experiments.benchmarks.core.ours import (
    Crystals,
    build_network,
    configuration,
    declared_batch,
    first_batch,
    whole_batch,
)
from experiments.benchmarks.core.sample import POOL
from experiments.benchmarks.core.setup import Setup
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training.module import TrainingModule

IMPLEMENTATIONS = ("ours", "ours_compiled", "dense", "published")
CLIP = 1.0
HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""By training's name of a precision, what pairs are computed in."""


@dataclass(frozen=True)
class Task:
    """What is stepped through."""

    implementation: str
    limit: int
    """Atoms per supercell."""
    sites: int
    """Unique sites of the batch."""
    source: str = POOL
    predict: bool = False
    """Only a forward pass without gradients."""
    precision: str = "32"
    pair_budget: int | None = None
    """Pairs per group; None is what training chooses."""
    steps: int = 1
    """Measured steps of one process."""


@dataclass(frozen=True)
class Stepper:
    """A step that can be repeated, and what it works on."""

    step: Callable[[], Tensor]
    """Return the loss, (), or the predictions."""
    facts: dict[str, int]
    load: Callable[[], object] | None = None
    """Make the batches once more, as the loader does."""


def make_stepper(setup: Setup, task: Task) -> Stepper:
    """Return the step of `task`; imports are done before any memory is measured."""
    if task.implementation == "published":
        return _published(setup, task)
    merged = task.implementation != "dense"
    config = configuration(setup, task.limit, merged=merged)
    crystals = first_batch(setup, config, task.sites, task.source)
    if task.implementation == "dense":
        return _dense(setup, task, crystals)
    return _ours(setup, task, crystals)


def _ours(setup: Setup, task: Task, crystals: Crystals) -> Stepper:
    batch = declared_batch(crystals, setup.device, task.pair_budget)
    budget = batch.crystals.loading.budget
    network = build_network(crystals.config, setup.seed, budget).to(setup.device)
    if task.implementation == "ours_compiled":
        network.compile_pairs()
    settings = crystals.config.optimizer
    optimizer = TrainingModule(network, settings).configure_optimizers()

    def train() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros((), device=setup.device)
        for group in batch:
            with precision(setup, task.precision):
                error = (network(group) - group.targets).abs().sum()
            loss = error / batch.n_values
            loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        return total

    def predict() -> Tensor:
        with torch.no_grad():
            return torch.cat([network(group) for group in batch])

    def load() -> int:
        return sum(1 for _ in batch)

    network.train(not task.predict)
    facts = crystals.facts | {"n_groups": load(), "pair_budget": budget or 0}
    return Stepper(predict if task.predict else train, facts, load)


def _dense(setup: Setup, task: Task, crystals: Crystals) -> Stepper:
    if not isinstance(crystals.config, SiteNetConfig):
        raise TypeError("the dense network is Site-Net's")
    network = build_network(crystals.config, setup.seed).to(setup.device)
    weights = copied_weights(network)
    dense = DenseSiteNet(crystals.config.model, weights, training=True)
    leaves = [v for v in weights.values() if v.requires_grad]
    optimizer = _adamw(leaves, crystals.config)
    batch = whole_batch(crystals, setup.device)

    def train() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = (dense(batch) - batch.targets).abs().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(leaves, CLIP)
        optimizer.step()
        return loss.detach()

    def predict() -> Tensor:
        with torch.no_grad():
            return dense(batch)

    return Stepper(predict if task.predict else train, crystals.facts)


def _adamw(leaves: list[Tensor], config: SiteNetConfig) -> torch.optim.Optimizer:
    settings = config.optimizer
    return torch.optim.AdamW(
        leaves,
        lr=settings.learning_rate,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        amsgrad=settings.amsgrad,
    )


def _published(setup: Setup, task: Task) -> Stepper:
    from experiments.benchmarks.core.published import PublishedCode, batch_items

    if setup.published is None:
        raise ValueError("no published code was given")
    code = PublishedCode.load(setup.published)
    config = configuration(setup, task.limit, merged=True)
    crystals = first_batch(setup, config, task.sites)
    items = batch_items(code, setup, task.limit, len(crystals.rows))
    batch = _moved(code.lightning.collate_fn(items), setup.device)
    network = code.network(setup.seed).to(setup.device)
    optimizer = network.configure_optimizers()["optimizer"]

    def train() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss: Tensor = network.training_step(batch, 0)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        return loss.detach()

    sizes = [(i["prim_size"], i["prim_size"] * i["images"]) for i in items]
    facts = {
        "n_crystals": len(items),
        "n_unique_sites": sum(n for n, _ in sizes),
        "n_unmerged_pairs": sum(n * m for n, m in sizes),
    }
    return Stepper(train, facts, lambda: code.lightning.collate_fn(items))


def _moved(batch: Any, device: str) -> Any:
    if isinstance(batch, dict):
        return {k: _moved(v, device) for k, v in batch.items()}
    return batch.to(device)


def precision(setup: Setup, name: str) -> AbstractContextManager[Any]:
    """Return the arithmetic that training uses for `training.precision: NAME`."""
    if name not in HALVES:
        return nullcontext()
    return torch.autocast(torch.device(setup.device).type, dtype=HALVES[name])
