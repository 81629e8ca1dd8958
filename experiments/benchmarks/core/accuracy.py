"""Predictions and gradients against the dense network, by precision and path."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from support.dense_sitenet import DenseSiteNet, copied_weights
from torch import Tensor, nn

from experiments.benchmarks.core.ours import (
    build_network,
    configuration,
    declared_batch,
    first_batch,
    whole_batch,
)
from experiments.benchmarks.core.setup import Setup
from experiments.benchmarks.core.stepper import precision
from sitenet_core.models.sitenet.fused import can_fuse
from sitenet_core.training.module import TrainingModule

Gradients = Mapping[str, Tensor]
_HALVES = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
_SCALE = 2.0**16


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the largest relative differences on a briefly trained network.

    Of `kind`: `unmerged` and `merged` are ours in float64, `fused …` in float32 with
    the fused kernels and `plain …` in float32 with torch's own operations, all of the
    same weights and against the dense network in float64. `bf16` and `fp16` are merged,
    against the same in float32.
    """
    kind, limit, sites = (arguments[k] for k in ("kind", "limit", "sites"))
    network = _trained(setup, limit, sites)
    config = configuration(setup, limit, merged=not kind.endswith("unmerged"))
    batch = whole_batch(first_batch(setup, config, sites))
    if kind in _HALVES:
        return _of_half(setup, network, batch, _HALVES[kind])
    if kind in ("unmerged", "merged"):
        network.double()
    with torchs_own_operations() if kind.startswith("plain") else nullcontext():
        found = _results(network, batch, "32", setup)
    plain = configuration(setup, limit, merged=False)
    dense_batch = whole_batch(first_batch(setup, plain, sites))
    # after a forward pass, which shortens the embedding's rows in place
    weights = copied_weights(network.double())
    dense = DenseSiteNet(plain.model, weights, training=True)
    leaves = {k: v for k, v in weights.items() if v.requires_grad}
    return _differences(found, _collect(dense, dense_batch, leaves))


def _of_half(setup: Setup, network: nn.Module, batch: Any, name: str) -> dict[str, Any]:
    """Compare half precision with float32.

    Scaled as training's gradient scaler does, from 2^16 down until all is finite.
    """
    reference = _results(network, batch, "32", setup)
    scale = _SCALE if name == "16-mixed" else 1.0
    found = _results(network, batch, name, setup, scale)
    while not _finite(found) and scale > 1:
        scale /= 2
        found = _results(network, batch, name, setup, scale)
    return {**_differences(found, reference), "loss_scale": scale}


def _finite(found: tuple[Tensor, Gradients]) -> bool:
    return all(bool(v.isfinite().all()) for v in (found[0], *found[1].values()))


@contextmanager
def torchs_own_operations() -> Iterator[None]:
    """Keep the fused kernels from being used."""
    package = "sitenet_core.models.sitenet."
    users = [m for name, m in sys.modules.items() if name.startswith(package)]
    with ExitStack() as stack:
        for module in users:
            if getattr(module, "can_fuse", None) is can_fuse:
                stack.enter_context(patch.object(module, "can_fuse", lambda _: False))
        yield


def _trained(setup: Setup, limit: int, sites: int) -> nn.Module:
    """Return a network after a few steps, so that attention is not uniform."""
    config = configuration(setup, limit, merged=True)
    batch = declared_batch(first_batch(setup, config, sites), "cpu")
    network = build_network(config, setup.seed).train()
    optimizer = TrainingModule(network, config.optimizer).configure_optimizers()
    for _ in range(setup.training_steps):
        optimizer.zero_grad()
        for group in batch:
            error = (network(group) - group.targets).abs().sum()
            (error / batch.n_values).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network


def _results(
    network: nn.Module, batch: Any, name: str, setup: Setup, scale: float = 1.0
) -> tuple[Tensor, Gradients]:
    network.zero_grad(set_to_none=True)

    def call(batch: Any) -> Tensor:
        with precision(setup, name):
            result: Tensor = network(batch)
        return result

    return _collect(call, batch, dict(network.named_parameters()), scale)


def _collect(
    function: Callable[[Any], Tensor],
    batch: Any,
    leaves: dict[str, Tensor],
    scale: float = 1.0,
) -> tuple[Tensor, Gradients]:
    """Return predictions, and the gradients of their weighted sum.

    Until they have reached the weights, the gradients are `scale` times as large.
    """
    predicted = function(batch)
    # weights that differ, so that errors of crystals do not cancel
    weights = 1 + batch.targets.to(predicted.dtype)
    (scale * weights * predicted).sum().backward()
    gradients = {k: v.grad / scale for k, v in leaves.items() if v.grad is not None}
    return predicted.detach(), gradients


def _differences(
    found: tuple[Tensor, Gradients], reference: tuple[Tensor, Gradients]
) -> dict[str, Any]:
    scale = max(float(g.abs().max()) for g in reference[1].values())
    apart = {k: float((found[1][k] - g).abs().max()) for k, g in reference[1].items()}
    worst = max(apart, key=lambda k: apart[k])
    squares = sum(
        float((found[1][k] - g).double().square().sum())
        for k, g in reference[1].items()
    )
    total = sum(float(g.double().square().sum()) for g in reference[1].values())
    change = (found[0] - reference[0]).abs()
    return {
        "predictions_relative": float(change.max() / reference[0].abs().max()),
        "predictions_ev": float(change.max()),
        "gradients_relative": apart[worst] / scale,
        "gradients_l2": (squares / total) ** 0.5,
        "worst_parameter": worst,
        "n_crystals": len(reference[0]),
    }
