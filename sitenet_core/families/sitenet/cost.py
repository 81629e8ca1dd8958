"""What a crystal costs in training, from sizes and widths alone.

The counts follow the network layer by layer, as it runs on a CPU in float32: what each
layer multiplies, what it does number by number, and what it keeps for the backward
pass. How long that takes on a machine is found by a probe (`training.calibration`).

What cannot be counted is fitted: the constants from `_LEFT_BEHIND` to `_ATTENDED`, to
short trainings of 25 configurations at 500 atoms by torch 2.13.0 and numba 0.68.1 on
one thread of an AMD EPYC with AVX-512 (family 25, 1 MiB of second cache). They are
ratios between kinds of work; how fast a machine is comes from its own probe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sitenet_core.families.protocol import Cost
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.sizes import CACHED_PAIRS, LANES

_BYTES_PER_NUMBER = 4
_PASSES = 3
"""Forward, and twice as much for the two products of the backward pass."""
_PASSES_AGAIN = 4
"""The same where the forward pass is done twice."""
_PAIR_NUMBERS = 24
"""Of a pair besides its rows: indices, distance, multiplicity, weight, bias, input."""
_LEFT_BEHIND = 90
"""More of them where batch norm goes over its pairs in parts: its passes for statistics
leave that much unused in the heap (measured, whatever the widths)."""
_AT_ONCE = 0.4
"""Of the numbers that a chunk takes in all units of a block: what is there at once."""
_WORK = {"layer": 1.0, "none": 0.65, "batch": 1.6}
"""Mish and norm of a number, forward and backward, against layer norm's kernel."""
_MOMENTS = 0.8
"""Mish and the sums for batch norm's statistics, on the same scale."""
_UNIT_NUMBERS = 30.0
"""What calling the operations of a unit takes, per pair of a chunk, on that scale."""
_ATTENDED = 0.7
"""A number of a value in the weighted sum of a head, on that scale."""


@dataclass(frozen=True)
class _Load:
    """What one row takes, of a pair, a site or a crystal."""

    products: float = 0
    """Multiply-adds, forward and backward."""
    numbers: float = 0
    """Numbers that go through a layer-norm unit, forward and backward, or the like."""
    kept: float = 0
    """Numbers kept for the backward pass."""

    def __add__(self, other: "_Load") -> "_Load":
        return _Load(
            self.products + other.products,
            self.numbers + other.numbers,
            self.kept + other.kept,
        )


def cost(
    sizes: Mapping[str, np.ndarray], config: SiteNetConfig, *, in_parts: bool = False
) -> Cost:
    """Return the training cost of each crystal; it grows with every size.

    Args:
        sizes: crystal-scope arrays, `n_sites` and `n_pairs` among them.
        config: architecture.
        in_parts: the crystals' group is above the budget of pairs, so that only what
            goes in and out of the blocks is kept, and the rest computed twice.
    """
    model = config.model
    units = _pair_units(model)
    pair = _pair_load(model, units, in_parts=in_parts)
    rows = (
        (np.asarray(sizes["n_pairs"], dtype=np.float64), pair),
        (np.asarray(sizes["n_sites"], dtype=np.float64), _site_load(model)),
        (1.0, _crystal_load(model)),
    )
    kept, products, numbers = (
        np.atleast_1d(sum(n * getattr(load, name) for n, load in rows))
        for name in ("kept", "products", "numbers")
    )
    of_block = sum(unit.chunk for unit in units) / model.attention_blocks
    chunk = _AT_ONCE * CACHED_PAIRS * of_block
    return Cost(
        bytes=_BYTES_PER_NUMBER * kept,
        flops=2 * products,
        numbers=numbers,
        group_bytes=_BYTES_PER_NUMBER * chunk,
    )


@dataclass(frozen=True)
class _Unit:
    """A layer unit on pairs."""

    inputs: int
    width: int
    norm: str
    evaluations: int = 2
    """Forward passes through it in parts: with batch norm, some for statistics."""
    in_block: bool = True
    """Computed again in parts; the first unit of all is not."""
    stored: bool = True
    """Its result is written, and kept by what comes next."""
    handed_on: bool = False
    """Its result goes into the next block, and is kept in parts too."""

    @property
    def products(self) -> float:
        """Multiply-adds of one forward pass."""
        return self.inputs * _padded(self.width)

    @property
    def kept(self) -> float:
        """Numbers kept: rows before mish, the result, and what the norm keeps."""
        padded, statistics = _padded(self.width), 2 * (self.norm == "layer")
        # Each chunk has a copy of a weight that is filled up.
        copied = self.inputs * padded / CACHED_PAIRS if padded > self.width else 0
        return padded + self.stored * self.width + statistics + copied

    @property
    def chunk(self) -> float:
        """Numbers of a pair while a chunk is worked on, gradients included."""
        return self.kept + 3 * self.width


def _pair_units(model: ModelSection) -> list[_Unit]:
    norm, heads = model.normalization, model.attention_heads
    interactions = heads * model.interaction_dim_per_head
    values = model.site_dim_per_head * (heads if model.values == "per_head" else 1)
    depth, width = model.attention_weights.depth, model.attention_weights.width
    units = [_Unit(2, interactions, norm, in_block=False)]
    for block in range(model.attention_blocks):
        units.append(_Unit(interactions, values, norm))
        if block + 1 < model.attention_blocks:
            units.append(_Unit(interactions, interactions, norm, handed_on=True))
        if width is not None:
            # The statistics of each level of norms take the levels below once more.
            stored = depth > 1 or norm != "layer"
            units.append(_Unit(interactions, width, norm, depth + 1, stored=stored))
            units += [_Unit(width, width, norm, depth - k + 1) for k in range(1, depth)]
    return units


def _pair_load(model: ModelSection, units: Sequence[_Unit], *, in_parts: bool) -> _Load:
    load = _Load(numbers=_PAIR_NUMBERS, kept=_PAIR_NUMBERS)
    for unit in units:
        load += _in_parts(unit) if in_parts else _whole(unit)
    heads, passes = model.attention_heads, _PASSES_AGAIN if in_parts else _PASSES
    outputs = model.attention_weights.width or model.interaction_dim_per_head * heads
    attended = heads * model.site_dim_per_head
    block = _Load(passes * heads * outputs, _ATTENDED * attended, heads)
    for _ in range(model.attention_blocks):
        load += block
    return load + _Load(kept=_besides(model, units, in_parts=in_parts))


def _besides(model: ModelSection, units: Sequence[_Unit], *, in_parts: bool) -> float:
    """Return the numbers that the backward pass begins with, above what is kept."""
    batch = model.normalization == "batch"
    # Gradients of a block's input are there before the block below uses them.
    interactions = model.attention_heads * model.interaction_dim_per_head
    if in_parts:
        return interactions + batch * _LEFT_BEHIND
    if batch:
        # Not in chunks: several gradients of whole rows are there at once.
        return 3 * max(unit.width for unit in units)
    # What the last block kept is gone by then.
    of_last = sum(u.kept for u in units[-1 - model.attention_weights.depth :])
    return max(0.0, interactions - of_last)


def _whole(unit: _Unit) -> _Load:
    numbers = unit.width * _WORK[unit.norm]
    if unit.norm == "batch":
        numbers += unit.width * _MOMENTS
    else:
        numbers += _UNIT_NUMBERS
    return _Load(_PASSES * unit.products, numbers, unit.kept)


def _in_parts(unit: _Unit) -> _Load:
    batch, share = unit.norm == "batch", _PASSES_AGAIN / _PASSES
    evaluations = unit.evaluations if batch else 1
    statistics = unit.width * _MOMENTS * (evaluations - 1)
    numbers = share * (unit.width * _WORK[unit.norm] + statistics)
    numbers += share * evaluations * _UNIT_NUMBERS
    kept = unit.kept + batch * _padded(unit.width)
    if unit.in_block:
        kept = unit.width if unit.handed_on else 0
    return _Load(evaluations * _PASSES_AGAIN * unit.products, numbers, kept)


def _unit(norm: str, in_width: int, out_width: int) -> _Load:
    """Return the load of a unit on sites or crystals, its input kept."""
    unit = _Unit(in_width, out_width, norm)
    return _whole(unit) + _Load(kept=in_width)


def _chain(norm: str, in_width: int, width: int, depth: int) -> _Load:
    load = _unit(norm, in_width, width)
    for _ in range(depth - 1):
        load += _unit(norm, width, width)
    return load


def _site_load(model: ModelSection) -> _Load:
    norm = model.normalization
    site_width = model.attention_heads * model.site_dim_per_head
    load = _unit(norm, model.embedding_dim + 9, site_width)
    for bonds in _bond_widths(model):
        # Both sites' parts of the first layers, forward and backward.
        load += _Load(_PASSES * 2 * site_width * bonds, 4 * bonds, 4 * bonds)
        load += _unit(norm, site_width, site_width)
    pre = model.pre_pooling
    load += _chain(norm, model.attention_blocks * site_width, pre.width, pre.depth)
    if model.pooling == "self_attention":
        queries, width = model.pooling_queries or 1, pre.width
        load += _Load(_PASSES * 2 * width**2, 4 * queries * width, 4 * queries * width)
    return load


def _bond_widths(model: ModelSection) -> list[int]:
    """Return the width of the joint first layer of g^W, g^F and g^I, block by block."""
    heads = model.attention_heads
    weights = model.attention_weights.width or heads
    values = model.site_dim_per_head * (heads if model.values == "per_head" else 1)
    last = weights + values
    interactions = heads * model.interaction_dim_per_head
    return [last + interactions] * (model.attention_blocks - 1) + [last]


def _crystal_load(model: ModelSection) -> _Load:
    norm, post, pre = model.normalization, model.post_pooling, model.pre_pooling
    queries = model.pooling_queries or 1
    load = _chain(norm, pre.width * queries, post.width, post.depth)
    if model.pooling == "self_attention":
        load += _unit(norm, pre.width, pre.width * queries)
    return load + _unit(norm, post.width, 1)


def _padded(width: int) -> int:
    return -(-width // LANES) * LANES
