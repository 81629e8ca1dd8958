"""The attention block of Site-Net over ragged pairs."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.inputs import Layout
from sitenet_core.models.sitenet.layers import Chain, LayerUnit, make_norm, mish
from sitenet_core.models.sitenet.ragged import segment_softmax, segment_sum


class BlockOutput(NamedTuple):
    """What a block hands on, and what an analysis looks at."""

    sites: Tensor
    """(n_sites, λ) new site features."""
    interactions: Tensor | None
    """(n_pairs, μ) new interaction features; None from the last block."""
    attention: Tensor
    """(n_pairs, n_heads) softmax weights of each row, all copies of a pair together."""


class BondLinear(nn.Module):
    """A linear layer on bonds [s_i | e_ij | s_site(j)] (eq. 3) that never builds them.

    W[s_i | e | s_j] = (W₁ s)_i + W₂ e_ij + (W₃ s)_site(j): the outer parts are computed
    once per site. Weights are those of one `nn.Linear` with the columns in that order.

    Args:
        site_width: λ.
        interaction_width: μ.
        out_width: length of the result.
    """

    def __init__(self, site_width: int, interaction_width: int, out_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * site_width + interaction_width, out_width)
        self._widths = [site_width, interaction_width, site_width]

    def forward(self, sites: Tensor, interactions: Tensor, layout: Layout) -> Tensor:
        """Return (n_pairs, out_width) for (n_sites, λ) and (n_pairs, μ)."""
        own, bond, partner = torch.split(self.linear.weight, self._widths, dim=1)
        result = functional.linear(interactions, bond, self.linear.bias)
        own_part = functional.linear(sites, own)
        partner_part = functional.linear(sites, partner)
        result = result + own_part.index_select(0, layout.pair_site)
        return result + partner_part.index_select(0, layout.pair_partner)


class AttentionBlock(nn.Module):
    """One round of attention of every unique site over the atoms of its supercell.

    g^W (eq. 5), g^F, g^S (eq. 6) and g^I (eq. 7) of arXiv:2209.08190. The first layers
    of g^W, g^F and g^I read the same bonds and are one matrix product.

    Args:
        model: architecture.
        last: the block has no successor, so that g^I is left out.
    """

    def __init__(self, model: ModelSection, *, last: bool) -> None:
        super().__init__()
        heads, norm = model.attention_heads, model.normalization
        site_width = heads * model.site_dim_per_head
        interaction_width = heads * model.interaction_dim_per_head
        value_heads = heads if model.values == "per_head" else 1
        value_width = value_heads * model.site_dim_per_head
        depth, width = model.attention_weights.depth, model.attention_weights.width
        self._deep = width is not None
        self._value_heads = value_heads
        self._widths = [
            heads if width is None else width,
            value_width,
            0 if last else interaction_width,
        ]
        self.bond = BondLinear(site_width, interaction_width, sum(self._widths))
        if width is not None:
            self.weights_norm = make_norm(width, norm)
            self.weights_chain = Chain(width, width, depth - 1, norm)
            self.logits = nn.Linear(width, heads)
        self.values_norm = make_norm(value_width, norm)
        self.interactions_norm = None if last else make_norm(interaction_width, norm)
        self.site_unit = LayerUnit(site_width, site_width, norm)

    def forward(
        self, sites: Tensor, interactions: Tensor, layout: Layout
    ) -> BlockOutput:
        """Return new features for sites (n_sites, λ) and interactions (n_pairs, μ)."""
        bonds = self.bond(sites, interactions, layout)
        weights, values, new = torch.split(bonds, self._widths, dim=1)
        logits = self._logits(weights, layout)
        attention = segment_softmax(
            logits + layout.pair_bias.unsqueeze(1), layout.pair_site, layout.n_sites
        )
        values = self.values_norm(mish(values), layout.pair_weight)
        gathered = self._gather(attention, values, layout)
        sites = self.site_unit(gathered, layout.site_weight)
        if self.interactions_norm is not None:
            new_interactions = self.interactions_norm(mish(new), layout.pair_weight)
            return BlockOutput(sites, new_interactions, attention)
        return BlockOutput(sites, None, attention)

    def _logits(self, first: Tensor, layout: Layout) -> Tensor:
        if not self._deep:
            return first
        rows = self.weights_norm(mish(first), layout.pair_weight)
        result: Tensor = self.logits(self.weights_chain(rows, layout.pair_weight))
        return result

    def _gather(self, attention: Tensor, values: Tensor, layout: Layout) -> Tensor:
        """Return y (n_sites, λ), y_i[e·H + h] = Σ_j a_ij[h]·A_ij[e (, h)]."""
        values = values.view(len(values), -1, self._value_heads)
        products = (values * attention.unsqueeze(1)).flatten(1)
        return segment_sum(products, layout.pair_site, layout.n_sites)


def stack_attention_blocks(model: ModelSection) -> nn.ModuleList:
    """Return the blocks of `model`, the last without g^I."""
    count = model.attention_blocks
    return nn.ModuleList(
        AttentionBlock(model, last=index == count - 1) for index in range(count)
    )
