"""The ragged model against the dense oracle: predictions and every gradient."""

import itertools
from typing import Any

import pytest
import torch
from support.dense_sitenet import DenseSiteNet, copied_weights
from support.sitenet_records import (
    TINY,
    Shape,
    make_batch,
    make_model,
    make_record,
    mixed_batch,
    relative_difference,
)

from sitenet_core.families.sitenet.batch import CrystalBatch
from sitenet_core.models.sitenet.config import ModelSection

TOLERANCE = 1e-10

DEPTHS: list[dict[str, Any]] = [
    {"attention_weights": {"depth": d, "width": 5 if d else None}} for d in range(3)
]
NORMS: list[dict[str, Any]] = [{"normalization": n} for n in ("batch", "layer", "none")]
POOLINGS: list[dict[str, Any]] = [
    {"pooling": "mean"},
    {"pooling": "max"},
    {"pooling": "self_attention", "pooling_heads": 4, "pooling_queries": 2},
]
LOGITS: list[dict[str, Any]] = [
    {},
    {"cutoff": 4.0},
    {"identity_bias": 1.0, "values": "per_head"},
    {"cutoff": 4.0, "identity_bias": -0.5, "values": "per_head", "attention_blocks": 3},
    {"attention_blocks": 1},
]
GRID = [
    a | b | c | d for a, b, c, d in itertools.product(DEPTHS, NORMS, POOLINGS, LOGITS)
]


def compare(changes: dict[str, Any], batch: CrystalBatch, *, training: bool) -> None:
    """Check predictions and gradients of a tiny model against the oracle."""
    model = make_model(changes).train(training)
    values = copied_weights(model)
    section = ModelSection.model_validate(TINY | changes)
    dense = DenseSiteNet(section, values, training=training)(batch)
    ragged = model(batch)
    assert ragged.dtype == torch.float64
    assert relative_difference(ragged, dense) < TOLERANCE
    weights = torch.linspace(1.0, 2.0, batch.n_crystals).double()[:, None]
    (weights * ragged).sum().backward()
    (weights * dense).sum().backward()
    scale = max(
        float(v.grad.abs().max()) for v in values.values() if v.grad is not None
    )
    for name, parameter in model.named_parameters():
        expected = values[name].grad
        assert expected is not None, name
        assert parameter.grad is not None, name
        difference = float((parameter.grad - expected).abs().max())
        assert difference < TOLERANCE * scale, name


@pytest.mark.parametrize("changes", GRID, ids=lambda c: "-".join(map(str, c.values())))
def test_predictions_and_gradients_equal_the_dense_oracle(
    changes: dict[str, Any],
) -> None:
    compare(changes, mixed_batch(), training=True)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_evaluation_equals_the_dense_oracle(norm: str) -> None:
    compare({"normalization": norm}, mixed_batch(7), training=False)


def test_one_crystal_with_batch_norm_uses_running_statistics_after_pooling() -> None:
    batch = make_batch([make_record(Shape(4, 3), 5)])
    compare({"normalization": "batch"}, batch, training=True)


def test_one_site_in_all_with_batch_norm_equals_the_dense_oracle() -> None:
    batch = make_batch([make_record(Shape(1, 5), 5)])
    compare({"normalization": "batch"}, batch, training=True)


def test_one_atom_in_all_is_predicted_with_every_norm() -> None:
    batch = make_batch([make_record(Shape(1, 1), 5)])
    for norm in ("batch", "layer", "none"):
        compare({"normalization": norm}, batch, training=True)
