"""The attention block of Site-Net over ragged pairs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sitenet_core.models.sitenet.bonds import BondLinear, Bonds, PairRows
from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.fused import can_fuse, fused_attention
from sitenet_core.models.sitenet.inputs import Layout, RowChunk
from sitenet_core.models.sitenet.layers import (
    Chain,
    LayerUnit,
    add_sites,
    finish_and_project,
    finish_unit,
    unit_moments,
)
from sitenet_core.models.sitenet.norms import (
    Norm,
    RowWeights,
    Statistics,
    WeightedBatchNorm,
    make_norm,
)
from sitenet_core.models.sitenet.ragged import segment_softmax, segment_sum

Known = Mapping[nn.Module, Statistics]
"""Statistics of batch norms over all chunks."""


_GRAPHS = 256
"""Graphs of the pair part that a process may hold: a few for each block it builds."""

Run = Callable[..., Any]
"""Calls its first argument with the others."""


class BlockOutput(NamedTuple):
    """What a block hands on, and what an analysis looks at."""

    sites: Tensor
    """(n_sites, λ) new site features."""
    interactions: PairRows | None
    """New interaction features of length μ; None from the last block."""
    attention: PairRows
    """Softmax weights per head of each row, all copies of a pair together."""


class RowOutput(NamedTuple):
    """What comes of one chunk of rows."""

    gathered: Tensor
    """(n_rows, λ) y of g^F."""
    interactions: Tensor | None
    """(n_pairs, μ)."""
    attention: Tensor
    """(n_pairs, n_heads)."""


class AttentionBlock(nn.Module):
    """One round of attention of every unique site over the atoms of its supercell.

    g^W (eq. 5), g^F, g^S (eq. 6) and g^I (eq. 7) of arXiv:2209.08190.

    Args:
        model: architecture.
        last: the block has no successor, so that g^I is left out.
    """

    def __init__(self, model: ModelSection, *, last: bool) -> None:
        super().__init__()
        heads, norm = model.attention_heads, model.normalization
        site_width = heads * model.site_dim_per_head
        interaction_width = heads * model.interaction_dim_per_head
        self._value_heads = heads if model.values == "per_head" else 1
        value_width = self._value_heads * model.site_dim_per_head
        depth, width = model.attention_weights.depth, model.attention_weights.width
        self._deep = width is not None
        widths = [heads if width is None else width, value_width]
        widths += [] if last else [interaction_width]
        self.bond = BondLinear(site_width, interaction_width, widths)
        if width is not None:
            self.weights_norm = make_norm(width, norm)
            self.weights_chain = Chain(width, width, depth - 1, norm)
            self.logits = nn.Linear(width, heads)
        self.values_norm = make_norm(value_width, norm)
        self.interactions_norm = None if last else make_norm(interaction_width, norm)
        self.site_unit = LayerUnit(site_width, site_width, norm)
        self._compiled: Callable[[Bonds, Known], RowOutput] | None = None

    def compile_rows(self) -> None:
        """Compile what is done for a chunk of rows, for any number of rows."""
        self._compiled = torch.compile(self._rows, dynamic=True)
        # The default of 8 counts all blocks of a process together, and beyond it torch
        # goes back to uncompiled code.
        limit = torch._dynamo.config.recompile_limit  # noqa: SLF001
        torch._dynamo.config.recompile_limit = max(limit, _GRAPHS)  # noqa: SLF001

    def forward(
        self,
        sites: Tensor,
        interactions: PairRows,
        layout: Layout,
        *,
        recompute: bool = False,
    ) -> BlockOutput:
        """Return new features.

        Args:
            sites: (n_sites, λ).
            interactions: rows of length μ.
            layout: which rows belong together.
            recompute: keep nothing of a chunk but what goes in and out, and compute the
                rest again for the gradient.
        """
        bonds = self.bond.bonds(sites, interactions, layout)
        run = computed_again if recompute else computed_once
        known: Known = {}
        if self.training and len(bonds) > 1:
            known = self._statistics(run, bonds)
        rows = self._compiled or self._rows
        done = [run(rows, one, known) for one in bonds]
        gathered, new, attention = zip(*done, strict=True)
        sites = self.site_unit(torch.cat(gathered), RowWeights(layout.site_weight))
        last = self.interactions_norm is None
        return BlockOutput(sites, None if last else new, attention)

    def _rows(self, bonds: Bonds, known: Known) -> RowOutput:
        weights = RowWeights(bonds.chunk.pair_weight, known)
        logits = self._logits(bonds, weights)
        values = self._first(bonds, 1, self.values_norm, weights)
        gathered, attention = self._attend(logits, values, bonds.chunk)
        new = None
        if self.interactions_norm is not None:
            new = self._first(bonds, 2, self.interactions_norm, weights)
        return RowOutput(gathered, new, attention)

    def _first(
        self, bonds: Bonds, layer: int, norm: Norm, weights: RowWeights
    ) -> Tensor:
        """Return a unit of bonds, (n_pairs, width of the norm)."""
        rows = bonds.pair_part(layer)
        return finish_unit(rows, norm, weights, bonds.sites[layer])

    def _logits(self, bonds: Bonds, weights: RowWeights) -> Tensor:
        """Return (n_pairs, n_heads), g^W of the bonds."""
        if not self._deep:
            sites = bonds.sites[0]
            rows = bonds.pair_part(0)
            return add_sites(rows[:, : sites.own.shape[1]], sites)
        if len(self.weights_chain.units) == 0:
            rows = bonds.pair_part(0)
            sites = bonds.sites[0]
            return finish_and_project(
                rows, self.weights_norm, weights, self.logits, sites
            )
        rows = self._first(bonds, 0, self.weights_norm, weights)
        result: Tensor = self.logits(self.weights_chain(rows, weights))
        return result

    def _attend(
        self, logits: Tensor, values: Tensor, chunk: RowChunk
    ) -> tuple[Tensor, Tensor]:
        """Return y (n_rows, λ), y_i[e·H + h] = Σ_j a_ij[h]·A_ij[e (, h)], and a."""
        if can_fuse(logits) and self._value_heads == 1:
            return fused_attention(logits, chunk.pair_bias, values, chunk.pair_offsets)
        attention = segment_softmax(
            logits + chunk.pair_bias.unsqueeze(1), chunk.pair_site, chunk.n_rows
        )
        values = values.view(len(values), -1, self._value_heads)
        products = (values * attention.unsqueeze(1)).flatten(1)
        return segment_sum(products, chunk.pair_site, chunk.n_rows), attention

    def _statistics(self, run: Run, bonds: list[Bonds]) -> Known:
        """Return the statistics of every batch norm of pairs, over all chunks.

        A norm's rows depend on the norms before it, so each level of norms is one pass.
        """
        known: dict[nn.Module, Statistics] = {}
        for level, norms in enumerate(self._levels()):
            below = dict(known)
            moments = [run(self._moments, one, below, level) for one in bonds]
            totals = (torch.stack(m).sum(0) for m in zip(*moments, strict=True))
            for norm, total in zip(norms, totals, strict=True):
                known[norm] = norm.statistics(total)
        return known

    def _levels(self) -> list[list[WeightedBatchNorm]]:
        first = [self.values_norm, self.interactions_norm]
        first = [self.weights_norm, *first] if self._deep else first
        levels = [first]
        if self._deep:
            chain = self.weights_chain
            levels += [[chain.unit(k).norm] for k in range(len(chain.units))]
        found = [[n for n in ns if isinstance(n, WeightedBatchNorm)] for ns in levels]
        return [norms for norms in found if norms]

    def _moments(self, bonds: Bonds, below: Known, level: int) -> list[Tensor]:
        """Return the moments of the norms of one level in one chunk."""
        weight = bonds.chunk.pair_weight
        if level > 0:
            weights = RowWeights(weight, below)
            rows = self._first(bonds, 0, self.weights_norm, weights)
            for k in range(level - 1):
                rows = self.weights_chain.unit(k)(rows, weights)
            return self.weights_chain.unit(level - 1).moments(rows, weight)
        skipped = 0 if self._deep else 1
        return [
            unit_moments(bonds.pair_part(layer), norm, weight, bonds.sites[layer])
            for layer, norm in enumerate(self._levels()[0], start=skipped)
        ]


def computed_once(function: Callable[..., Any], *arguments: object) -> Any:
    """Return the result; what its gradient needs stays in memory."""
    return function(*arguments)


computed_again: Run = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
"""Returns the result, and computes it again when its gradient is asked for."""


def stack_attention_blocks(model: ModelSection) -> nn.ModuleList:
    """Return the blocks of `model`, the last without g^I."""
    count = model.attention_blocks
    return nn.ModuleList(
        AttentionBlock(model, last=index == count - 1) for index in range(count)
    )
