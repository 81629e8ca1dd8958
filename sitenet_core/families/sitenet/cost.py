"""What a crystal costs in training: an estimate from sizes and widths alone.

The counts follow the network layer by layer and ignore caches, allocators and kernels.
They have not been calibrated against a machine: use them to compare configurations and
crystals with each other, not to predict gigabytes or seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sitenet_core.families.protocol import Cost
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.models.sitenet.config import ModelSection

_BYTES_PER_NUMBER = 4
_TENSORS_KEPT_PER_UNIT = 3
"""Linear, Mish and norm each keep a tensor of their width for the backward pass."""
_FLOPS_PER_ACTIVATION = 20
"""Mish and norm, per number."""
_PASSES = 3
"""Forward, and twice as much for the two products of the backward pass."""


@dataclass(frozen=True)
class _Load:
    """Multiply-adds and kept numbers of one row, of a site or of a pair."""

    products: int = 0
    numbers: int = 0

    def __add__(self, other: "_Load") -> "_Load":
        return _Load(self.products + other.products, self.numbers + other.numbers)

    def __mul__(self, times: int) -> "_Load":
        return _Load(self.products * times, self.numbers * times)


def cost(sizes: Mapping[str, np.ndarray], config: SiteNetConfig) -> list[Cost]:
    """Return the estimated training cost of each crystal; it grows with every size.

    Args:
        sizes: crystal-scope arrays, `n_sites` and `n_pairs` among them.
        config: architecture.
    """
    model = config.model
    loads = (
        (np.asarray(sizes["n_pairs"], dtype=np.float64), _pair_load(model)),
        (np.asarray(sizes["n_sites"], dtype=np.float64), _site_load(model)),
        (1.0, _crystal_load(model)),
    )
    numbers = sum(rows * load.numbers for rows, load in loads)
    products = sum(rows * load.products for rows, load in loads)
    n_bytes = np.atleast_1d(numbers) * _TENSORS_KEPT_PER_UNIT * _BYTES_PER_NUMBER
    flops = np.atleast_1d(
        2 * _PASSES * products + _FLOPS_PER_ACTIVATION * _PASSES * numbers
    )
    return [Cost(float(b), float(f)) for b, f in zip(n_bytes, flops, strict=True)]


def _unit(in_width: int, out_width: int) -> _Load:
    return _Load(in_width * out_width, out_width)


def _chain(in_width: int, width: int, depth: int) -> _Load:
    return _unit(in_width, width) + _unit(width, width) * (depth - 1)


def _bond_widths(model: ModelSection) -> list[int]:
    """Return the width of the joint first layer of g^W, g^F and g^I, block by block."""
    heads = model.attention_heads
    weights = model.attention_weights.width or heads
    values = model.site_dim_per_head * (heads if model.values == "per_head" else 1)
    interactions = heads * model.interaction_dim_per_head
    last = weights + values
    return [last + interactions] * (model.attention_blocks - 1) + [last]


def _pair_load(model: ModelSection) -> _Load:
    heads = model.attention_heads
    interactions = heads * model.interaction_dim_per_head
    load = _unit(2, interactions)
    for width in _bond_widths(model):
        load += _unit(interactions, width)
        # Gathered per-site parts, softmax, and the weighted values of all heads.
        load += _Load(0, width + 2 * heads + heads * model.site_dim_per_head)
        if model.attention_weights.width is not None:
            deep = model.attention_weights.width
            load += _unit(deep, deep) * (model.attention_weights.depth - 1)
            load += _unit(deep, heads)
    return load


def _site_load(model: ModelSection) -> _Load:
    site_width = model.attention_heads * model.site_dim_per_head
    load = _unit(model.embedding_dim + 9, site_width)
    for width in _bond_widths(model):
        load += _unit(site_width, 2 * width) + _unit(site_width, site_width)
    pre = model.pre_pooling
    load += _chain(model.attention_blocks * site_width, pre.width, pre.depth)
    if model.pooling == "self_attention":
        queries = model.pooling_queries or 1
        load += _unit(pre.width, 2 * pre.width) + _unit(pre.width, 2 * queries)
    return load


def _crystal_load(model: ModelSection) -> _Load:
    pooled = model.pre_pooling.width * (model.pooling_queries or 1)
    post = model.post_pooling
    return _chain(pooled, post.width, post.depth) + _unit(post.width, 1)
