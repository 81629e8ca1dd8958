"""The compiled pair part: the same numbers, and one graph for batches of any size."""

from functools import partial
from typing import Any

import pytest
import torch
from support.sitenet_records import (
    Shape,
    make_batch,
    make_model,
    make_record,
    mixed_batch,
    relative_difference,
)
from torch._dynamo.testing import CompileCounterWithBackend

from sitenet_core.models.sitenet.fused import LANES
from sitenet_core.models.sitenet.network import SiteNet

# torch's compiler warns of its own past and future, whatever it compiles.
pytestmark = pytest.mark.filterwarnings("ignore")

OPTIONS: list[dict[str, Any]] = [
    {"normalization": "layer", "attention_blocks": 1},
    {
        "normalization": "batch",
        "cutoff": 4.0,
        "attention_weights": {"depth": 2, "width": 5},
    },
]


def gradient(model: SiteNet, batch: Any) -> torch.Tensor:
    """Return predictions and all gradients, flat."""
    model.zero_grad()
    predicted = model(batch)
    predicted.sum().backward()
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat([predicted.detach().flatten(), *found])


def compiled(
    changes: dict[str, Any], backend: Any, monkeypatch: pytest.MonkeyPatch
) -> SiteNet:
    """Return a model whose pairs are compiled by `backend`."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    model = make_model(changes).train()
    model.compile_pairs()
    return model


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_compiling_changes_no_prediction_and_no_gradient(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = compiled(changes, "aot_eager", monkeypatch)
    model.pair_budget = 30
    found = gradient(model, mixed_batch())
    expected = gradient(make_model(changes).train(), mixed_batch())
    assert relative_difference(found, expected) < 1e-10


def test_batches_of_new_sizes_are_not_compiled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    model = compiled({"attention_blocks": 2}, counter, monkeypatch)
    counts = []
    for size in range(2, 14):
        shapes = [Shape(size, 3 + size % 4)] * (1 + size % 3)
        gradient(model, make_batch([make_record(s, k) for k, s in enumerate(shapes)]))
        counts.append(counter.frame_count)
    assert 0 < counts[0] <= counts[2] <= 3 * len(model.blocks)
    assert counts[-1] == counts[2]


@pytest.mark.slow
def test_code_made_by_the_compiler_computes_the_same() -> None:
    torch.compiler.reset()
    changes = {"normalization": "layer", "attention_blocks": 1}
    model = make_model(changes).float().train()
    # No multiple of the lanes of a register, to which the kernels' rows are filled.
    assert model.blocks[0].bond.linear.out_features % LANES
    model.compile_pairs()
    found = gradient(model, mixed_batch())
    expected = gradient(make_model(changes).train(), mixed_batch())
    assert relative_difference(found.double(), expected) < 1e-3
