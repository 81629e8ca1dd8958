"""Predictions and gradients against the dense network, and those of half precision."""

from collections.abc import Callable, Mapping
from typing import Any

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
from sitenet_core.training.module import TrainingModule

Gradients = Mapping[str, Tensor]


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the largest relative differences on a briefly trained network.

    `kind` is `unmerged` or `merged` (ours in float64 against the dense network in
    float64) or `bf16` (the same weights in both precisions, merged).
    """
    kind, limit, sites = (arguments[k] for k in ("kind", "limit", "sites"))
    network = _trained(setup, limit, sites)
    config = configuration(setup, limit, merged=kind != "unmerged")
    batch = whole_batch(first_batch(setup, config, sites))
    if kind == "bf16":
        reference = _results(network, batch, "32", setup)
        found = _results(network, batch, "bf16-mixed", setup)
        return _differences(found, reference)
    found = _results(network.double(), batch, "32", setup)
    plain = configuration(setup, limit, merged=False)
    dense_batch = whole_batch(first_batch(setup, plain, sites))
    # after a forward pass, which shortens the embedding's rows in place
    weights = copied_weights(network)
    dense = DenseSiteNet(plain.model, weights, training=True)
    leaves = {k: v for k, v in weights.items() if v.requires_grad}
    return _differences(found, _collect(dense, dense_batch, leaves))


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
    network: nn.Module, batch: Any, name: str, setup: Setup
) -> tuple[Tensor, Gradients]:
    network.zero_grad(set_to_none=True)

    def call(batch: Any) -> Tensor:
        with precision(setup, name):
            result: Tensor = network(batch)
        return result

    return _collect(call, batch, dict(network.named_parameters()))


def _collect(
    function: Callable[[Any], Tensor], batch: Any, leaves: dict[str, Tensor]
) -> tuple[Tensor, Gradients]:
    """Return predictions, and the gradients of their weighted sum."""
    predicted = function(batch)
    # weights that differ, so that errors of crystals do not cancel
    weights = 1 + batch.targets.to(predicted.dtype)
    (weights * predicted).sum().backward()
    gradients = {k: v.grad.clone() for k, v in leaves.items() if v.grad is not None}
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
