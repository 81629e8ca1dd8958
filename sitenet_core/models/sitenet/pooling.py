"""From the sites of a crystal to one vector: mean, maximum or self-attention."""

import math

import torch
from torch import Tensor, nn

from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.inputs import Layout
from sitenet_core.models.sitenet.ragged import (
    segment_max,
    segment_softmax,
    segment_sum,
)


class MeanPooling(nn.Module):
    """Mean over the sites, weighted by multiplicity.

    Args:
        width: length of a site's vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, sites: Tensor, layout: Layout) -> Tensor:
        """Return (n_crystals, width) for (n_sites, width)."""
        crystal, count = layout.site_crystal, layout.n_crystals
        weight = layout.site_weight.unsqueeze(1)
        return segment_sum(sites * weight, crystal, count) / segment_sum(
            weight, crystal, count
        )


class MaxPooling(nn.Module):
    """Maximum over the sites; equal sites share the gradient.

    Args:
        width: length of a site's vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, sites: Tensor, layout: Layout) -> Tensor:
        """Return (n_crystals, width) for (n_sites, width)."""
        return segment_max(sites, layout.site_crystal, layout.n_crystals)


class SelfAttentionPooling(nn.Module):
    """Multi-head attention of learned queries over the sites, results concatenated.

    The papers name this option and give no formula. Here each query attends with
    `heads` heads of length ceil(width / heads), the heads' results are joined and
    projected to `width`, and the queries' results are concatenated.

    Args:
        width: length of a site's vector.
        heads: number of heads.
        queries: number of learned queries.
    """

    def __init__(self, width: int, heads: int, queries: int) -> None:
        super().__init__()
        self._heads = heads
        head_width = math.ceil(width / heads)
        self.out_width = queries * width
        self.queries = nn.Parameter(torch.randn(queries, heads, head_width))
        self.keys = nn.Linear(width, heads * head_width)
        self.values = nn.Linear(width, heads * head_width)
        self.project = nn.Linear(heads * head_width, width)

    def forward(self, sites: Tensor, layout: Layout) -> Tensor:
        """Return (n_crystals, queries·width) for (n_sites, width)."""
        crystal, count = layout.site_crystal, layout.n_crystals
        keys = self.keys(sites).unflatten(1, (1, self._heads, -1))
        values = self.values(sites).unflatten(1, (1, self._heads, -1))
        logits = (keys * self.queries).sum(-1) / math.sqrt(keys.shape[-1])
        logits = logits + layout.site_weight.log()[:, None, None]
        attention = segment_softmax(logits.flatten(1), crystal, count)
        attention = attention.view_as(logits).unsqueeze(-1)
        pooled = segment_sum(values * attention, crystal, count)
        result: Tensor = self.project(pooled.flatten(2)).flatten(1)
        return result


def make_pooling(
    model: ModelSection,
) -> MeanPooling | MaxPooling | SelfAttentionPooling:
    """Return the pooling that `model` names, over its pre-pooling features."""
    width = model.pre_pooling.width
    if model.pooling == "mean":
        return MeanPooling(width)
    if model.pooling == "max":
        return MaxPooling(width)
    if model.pooling_heads is None or model.pooling_queries is None:
        raise ValueError("self_attention pooling needs pooling_heads, pooling_queries")
    return SelfAttentionPooling(width, model.pooling_heads, model.pooling_queries)
