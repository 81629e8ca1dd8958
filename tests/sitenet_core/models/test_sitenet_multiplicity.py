"""Merging equal pairs and equal sites changes nothing, in any part of the model."""

import itertools
from typing import Any

import pytest
import torch
from support.sitenet_records import (
    Record,
    batch_of_rows,
    expand,
    make_batch,
    make_merged_record,
    make_model,
    relative_difference,
)

TOLERANCE = 1e-10

OPTIONS = [
    {"normalization": norm} | pooling | logits
    for norm, pooling, logits in itertools.product(
        ("batch", "layer", "none"),
        (
            {"pooling": "mean"},
            {"pooling": "max"},
            {"pooling": "self_attention", "pooling_heads": 2, "pooling_queries": 3},
        ),
        ({}, {"cutoff": 5.0, "identity_bias": 1.0, "values": "per_head"}),
    )
]


@pytest.fixture(scope="module")
def merged() -> list[Record]:
    """Return records in which rows stand for several equal sites and pairs."""
    return [make_merged_record(n, seed) for n, seed in ((4, 0), (1, 1), (3, 2))]


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_merged_rows_give_the_prediction_of_rows_written_out(
    merged: list[Record], changes: dict[str, Any]
) -> None:
    model = make_model(changes)
    one = model(make_batch(merged))
    other = model(batch_of_rows([expand(r) for r in merged]))
    assert relative_difference(one, other) < TOLERANCE


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_merged_rows_give_the_gradients_of_rows_written_out(
    merged: list[Record], changes: dict[str, Any]
) -> None:
    gradients = []
    for batch in (make_batch(merged), batch_of_rows([expand(r) for r in merged])):
        model = make_model(changes)
        model(batch).square().sum().backward()
        found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        assert len(found) == len(list(model.parameters()))
        gradients.append(torch.cat(found))
    assert relative_difference(*gradients) < TOLERANCE


def test_running_statistics_do_not_depend_on_merging(merged: list[Record]) -> None:
    states = []
    for batch in (make_batch(merged), batch_of_rows([expand(r) for r in merged])):
        model = make_model({"normalization": "batch"})
        model(batch)
        states.append(torch.cat([b.flatten() for b in model.buffers()]))
    assert relative_difference(*states) < TOLERANCE


def test_multiplicity_matters(merged: list[Record]) -> None:
    model = make_model()
    ones = [
        r | {"pair_multiplicity": r["pair_multiplicity"].clip(max=1)} for r in merged
    ]
    with torch.no_grad():
        difference = (model(make_batch(merged)) - model(make_batch(ones))).abs().max()
    assert float(difference) > 1e-6
