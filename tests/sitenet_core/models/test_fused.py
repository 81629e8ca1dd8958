"""The fused kernels against torch's own operations in double precision."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from sitenet_core.models.sitenet.fused import (
    Scale,
    SiteParts,
    can_fuse,
    fused_attention,
    fused_projection,
    fused_unit,
    threads,
)
from sitenet_core.models.sitenet.layers import finish_unit
from sitenet_core.models.sitenet.norms import RowWeights, WeightedBatchNorm
from sitenet_core.models.sitenet.ragged import segment_softmax, segment_sum

TOLERANCE = 3e-6
"""Of float32, relative to the largest number of a tensor."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let several threads share even the little work of these tests."""
    monkeypatch.setattr(threads, "SMALLEST_PART", 10_000)


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Return float32 normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator)


def close(found: Tensor | None, expected: Tensor | None) -> None:
    """Check float32 against double, relative to the largest number."""
    assert found is not None
    assert expected is not None
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    largest = float(expected.abs().max()) + 1e-30
    assert float((found.double() - expected).abs().max()) <= TOLERANCE * largest


def differentiable(*tensors: Tensor, double: bool) -> list[Tensor]:
    """Return copies with gradients of their own."""
    kept = [
        t.detach().clone().to(torch.float64 if double else t.dtype) for t in tensors
    ]
    return [t.requires_grad_() for t in kept]


def plain_unit(
    rows: Tensor, width: int, norm: Scale | None, sites: SiteParts | None
) -> Tensor:
    """Return what `fused_unit` is to return, by torch's operations."""
    rows = rows[:, :width]
    if sites is not None:
        rows = rows + sites.own[sites.pair_site] + sites.partner[sites.pair_partner]
    rows = functional.mish(rows)
    if norm is None:
        return rows
    return functional.layer_norm(rows, (width,), norm.scale, norm.shift)


@pytest.mark.parametrize(
    ("normed", "of_bonds", "unused"),
    list(itertools.product((True, False), (True, False), (0, 5))),
)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_fused_unit_and_its_gradients_equal_the_plain_one(
    *, normed: bool, of_bonds: bool, unused: int, n_threads: int
) -> None:
    n_pairs, width, n_sites = 1500, 37, 6
    pair_site = torch.arange(n_pairs) * 4 // n_pairs
    pair_partner = torch.arange(n_pairs) * 7 % n_sites
    inputs = (
        random(n_pairs, width + unused, scale=3.0),
        1 + random(width, seed=1),
        random(width, seed=2),
        random(4, width, seed=3),
        random(n_sites, width, seed=4),
    )
    weights = random(n_pairs, width, seed=5)
    gradients, results = [], []
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        for function, double in ((fused_unit, False), (plain_unit, True)):
            leaves = differentiable(*inputs, double=double)
            rows, scale, shift, own, partner = leaves
            sites = SiteParts(own, partner, pair_site, pair_partner)
            norm = Scale(scale, shift)
            result = function(
                rows * 1, width, norm if normed else None, sites if of_bonds else None
            )
            (result * weights).sum().backward()
            results.append(result.detach())
            gradients.append([leaf.grad for leaf in leaves])
    finally:
        torch.set_num_threads(before)
    close(*results)
    used = [True, normed, normed, of_bonds, of_bonds]
    for found, expected, wanted in zip(*gradients, used, strict=True):
        if wanted:
            close(found, expected)
        else:
            assert found is None


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_fused_projection_and_its_gradients_equal_the_plain_one(
    n_threads: int,
) -> None:
    n_pairs, width, n_sites, heads = 1500, 37, 6, 3
    pair_site = torch.arange(n_pairs) * 4 // n_pairs
    pair_partner = torch.arange(n_pairs) * 7 % n_sites
    inputs = (
        random(n_pairs, width + 3, scale=3.0),
        1 + random(width, seed=1),
        random(width, seed=2),
        random(heads, width, seed=3),
        random(heads, seed=4),
        random(4, width, seed=5),
        random(n_sites, width, seed=6),
    )
    weights = random(n_pairs, heads, seed=7)

    def run(*, double: bool) -> tuple[Tensor, list[Tensor | None]]:
        leaves = differentiable(*inputs, double=double)
        rows, scale, shift, weight, bias, own, partner = leaves
        sites = SiteParts(own, partner, pair_site, pair_partner)
        norm = Scale(scale, shift)
        if double:
            hidden = plain_unit(rows, width, norm, sites)
            result = functional.linear(hidden, weight, bias)
        else:
            result = fused_projection(rows * 1, norm, (weight, bias), sites)
        (result * weights).sum().backward()
        return result.detach(), [leaf.grad for leaf in leaves]

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found, gradients = run(double=False)
    finally:
        torch.set_num_threads(before)
    expected, exact = run(double=True)
    close(found, expected)
    for one, other in zip(gradients, exact, strict=True):
        close(one, other)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("of_bonds", [True, False])
def test_fused_batch_norm_and_its_gradients_equal_the_plain_one(
    *, of_bonds: bool, n_threads: int
) -> None:
    n_pairs, width, n_sites = 1500, 37, 6
    pair_site = torch.arange(n_pairs) * 4 // n_pairs
    pair_partner = torch.arange(n_pairs) * 7 % n_sites
    counts = 1.0 + torch.arange(n_pairs) % 3
    inputs = (
        random(n_pairs, width + 3, scale=3.0),
        random(4, width, seed=3),
        random(n_sites, width, seed=4),
    )
    weights = random(n_pairs, width, seed=5)

    def run(*, double: bool) -> tuple[Tensor, list[Tensor | None]]:
        leaves = differentiable(*inputs, double=double)
        rows, own, partner = leaves
        sites = SiteParts(own, partner, pair_site, pair_partner) if of_bonds else None
        norm = WeightedBatchNorm(width).to(rows.dtype)
        if double:
            active = plain_unit(rows, width, None, sites)
            result = norm(active, RowWeights(counts.double()))
        else:
            result = finish_unit(rows * 1, norm, RowWeights(counts), sites)
        (result * weights).sum().backward()
        found = [leaf.grad for leaf in leaves if leaf.grad is not None]
        return result.detach(), [*found, norm.weight.grad, norm.running_var]

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found, gradients = run(double=False)
    finally:
        torch.set_num_threads(before)
    expected, exact = run(double=True)
    close(found, expected)
    assert len(gradients) == len(exact) == (5 if of_bonds else 3)
    for one, other in zip(gradients, exact, strict=True):
        close(one, other)


@given(st.floats(-86, 90, width=32))
@settings(deadline=None)
def test_fused_mish_is_exact_to_a_few_units_in_the_last_place(value: float) -> None:
    x = torch.tensor([[value]])
    found = fused_unit(x.clone(), 1, None, None).item()
    exact = value * math.tanh(math.log1p(math.exp(value)))
    assert found == pytest.approx(exact, rel=1e-6, abs=1e-35)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_comes_through_the_fused_operations(value: float) -> None:
    rows = random(3, 8)
    rows[1, 2] = value
    assert not math.isfinite(fused_unit(rows.clone(), 8, None, None)[1, 2].item())
    norm = Scale(torch.ones(8), torch.zeros(8))
    assert fused_unit(rows, 8, norm, None)[1].isnan().all()
    logits, offsets = torch.zeros(3, 2), torch.tensor([0, 3])
    logits[1, 0] = math.nan
    gathered, _ = fused_attention(logits, torch.zeros(3), random(3, 4), offsets)
    assert gathered[0, 0].isnan()


@pytest.mark.parametrize("bias", [0.0, -math.inf])
def test_fused_attention_and_its_gradients_equal_the_plain_one(bias: float) -> None:
    lengths, heads, width = torch.tensor([1, 5, 400, 2]), 3, 7
    offsets = functional.pad(lengths.cumsum(0), (1, 0))
    n_pairs, n_rows = int(offsets[-1]), len(lengths)
    row = torch.repeat_interleave(torch.arange(n_rows), lengths)
    inputs = random(n_pairs, heads, scale=20.0), random(n_pairs, width, seed=1)
    added = torch.zeros(n_pairs)
    added[torch.arange(1, n_pairs, 3)] = bias
    added[offsets[:-1]] = 0.5
    weights = random(n_rows, heads * width, seed=2)

    logits, values = differentiable(*inputs, double=False)
    gathered, attention = fused_attention(logits, added, values, offsets)
    (gathered * weights).sum().backward()
    wide_logits, wide_values = differentiable(*inputs, double=True)
    plain = segment_softmax(wide_logits + added[:, None], row, n_rows)
    products = (wide_values.unsqueeze(2) * plain.unsqueeze(1)).flatten(1)
    expected = segment_sum(products, row, n_rows)
    (expected * weights).sum().backward()

    close(gathered.detach(), expected.detach())
    close(attention, plain.detach())
    close(logits.grad, wide_logits.grad)
    close(values.grad, wide_values.grad)
    assert not attention.requires_grad
    if bias:
        assert (attention[added == bias] == 0).all()


def test_only_float32_on_a_cpu_is_fused() -> None:
    assert can_fuse(torch.zeros(1))
    assert not can_fuse(torch.zeros(1, dtype=torch.float64))
    assert not can_fuse(torch.zeros(1, device="meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not can_fuse(torch.zeros(1))
