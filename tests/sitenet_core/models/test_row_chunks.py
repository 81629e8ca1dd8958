"""Rows worked on in chunks, and computed again: the same model in less memory."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sitenet_records import (
    make_model,
    mixed_batch,
    relative_difference,
)

from sitenet_core.families.sitenet.batch import CrystalBatch
from sitenet_core.models.sitenet import attention, layers, network
from sitenet_core.models.sitenet.inputs import RowChunk, split_rows
from sitenet_core.models.sitenet.network import SiteNet

OPTIONS: list[dict[str, Any]] = [
    {"normalization": "layer"},
    {"normalization": "none", "cutoff": 4.0, "identity_bias": 1.0},
    {"normalization": "layer", "attention_weights": {"depth": 0, "width": None}},
    {"normalization": "layer", "attention_weights": {"depth": 3, "width": 5}},
    {"normalization": "layer", "values": "per_head", "attention_blocks": 3},
    {"normalization": "batch"},
    {"normalization": "batch", "attention_weights": {"depth": 3, "width": 5}},
]


def gradients(model: SiteNet, batch: CrystalBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return predictions and all gradients, flat, of a weighted sum."""
    model.zero_grad()
    predicted = model(batch)
    weights = torch.linspace(1.0, 2.0, batch.n_crystals, dtype=predicted.dtype)
    (weights[:, None] * predicted).sum().backward()
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    assert len(found) == len(list(model.parameters()))
    return predicted.detach(), torch.cat(found)


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
@pytest.mark.parametrize("budget", [1, 17, 60])
def test_a_pair_budget_changes_no_prediction_and_no_gradient(
    changes: dict[str, Any], budget: int
) -> None:
    batch = mixed_batch()
    assert len(batch.pair_site) > budget
    whole, split = make_model(changes).train(), make_model(changes).train()
    split.pair_budget = budget
    expected, found = gradients(whole, batch), gradients(split, batch)
    assert relative_difference(found[0], expected[0]) < 1e-12
    assert relative_difference(found[1], expected[1]) < 1e-12
    buffers = [torch.cat([b.flatten() for b in m.buffers()]) for m in (whole, split)]
    assert relative_difference(*buffers) < 1e-12


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_evaluation_in_chunks_predicts_the_same(changes: dict[str, Any]) -> None:
    batch = mixed_batch()
    model = make_model(changes).eval()
    with torch.no_grad():
        expected = model(batch)
        model.pair_budget = 10
        assert relative_difference(model(batch), expected) < 1e-12


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_the_fused_path_is_as_exact_as_torchs_own_operations(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = mixed_batch()
    expected = gradients(make_model(changes).train(), batch)
    monkeypatch.setattr(network, "CACHED_PAIRS", 40)

    def errors(budget: int | None) -> list[float]:
        model = make_model(changes).train().float()
        model.pair_budget = budget
        found = gradients(model, batch)
        assert found[0].dtype == torch.float32
        pairs = zip(found, expected, strict=True)
        return [relative_difference(a.double(), b) for a, b in pairs]

    fused = errors(None), errors(50)
    for module in (layers, attention):
        monkeypatch.setattr(module, "can_fuse", lambda _: False)
    for found in fused:
        for ours, theirs in zip(found, errors(None), strict=True):
            assert ours < 4 * theirs + 1e-6


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 100))
@settings(deadline=None)
def test_chunks_are_whole_rows_in_order_and_within_the_limit(
    lengths: list[int], limit: int
) -> None:
    whole = make_rows(lengths)
    chunks = split_rows(whole, limit)
    assert torch.equal(torch.cat([c.pair_bias for c in chunks]), whole.pair_bias)
    found = torch.cat([c.pair_offsets.diff() for c in chunks]).tolist()
    assert found == lengths
    for chunk in chunks:
        assert chunk.n_pairs <= limit or chunk.n_rows == 1
        expected = torch.arange(chunk.n_rows).repeat_interleave(
            chunk.pair_offsets.diff()
        )
        assert torch.equal(chunk.pair_site, expected)
    for one, other in pairwise(chunks):
        assert one.n_pairs + int(other.pair_offsets[1]) > limit


def make_rows(lengths: list[int]) -> RowChunk:
    """Return rows of these lengths whose bias numbers the pairs."""
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    rows = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    count = torch.arange(len(rows))
    return RowChunk(rows, count, offsets, torch.ones(len(rows)), count)
