"""The Site-Net module: a batch of crystals in, a prediction per crystal out."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sitenet_core.models.sitenet.attention import (
    AttentionBlock,
    BlockOutput,
    stack_attention_blocks,
)
from sitenet_core.models.sitenet.bonds import PairRows
from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.features import N_PAIR_FEATURES, InputFeatures
from sitenet_core.models.sitenet.inputs import (
    CrystalInputs,
    Layout,
    LogitRules,
    layout,
)
from sitenet_core.models.sitenet.layers import Chain, LayerUnit
from sitenet_core.models.sitenet.norms import RowWeights, Statistics, WeightedBatchNorm
from sitenet_core.models.sitenet.pooling import make_pooling
from sitenet_core.models.sitenet.ragged import at_least_float32
from sitenet_core.models.sitenet.sizes import CACHED_PAIRS


@dataclass(frozen=True)
class OutputSection:
    """What the target says about the output."""

    n_targets: int = 1
    non_negative: bool = False
    """Predictions are clamped at 0 and pass the gradient (band gap)."""


class SiteNet(nn.Module):
    """Site-Net of doi:10.1039/d3dd00005b with the options of both papers.

    Args:
        model: architecture.
        elements: (n_elements, n_properties) elemental properties, row Z, scaled.
        output: number of targets and output activation.
        pair_budget: pairs whose intermediate rows may be in memory at once. A batch
            with more goes through the blocks in chunks, which are computed again for
            the gradient; None keeps everything.
    """

    def __init__(
        self,
        model: ModelSection,
        elements: Tensor,
        output: OutputSection,
        pair_budget: int | None = None,
    ) -> None:
        super().__init__()
        self.pair_budget = pair_budget
        norm, heads = model.normalization, model.attention_heads
        site_width = heads * model.site_dim_per_head
        interaction_width = heads * model.interaction_dim_per_head
        pre, post = model.pre_pooling, model.post_pooling
        self._whole_batches = norm == "batch"
        self._rules = LogitRules(model.cutoff, model.identity_bias)
        self._output = output
        self.features = InputFeatures(model.embedding_dim, elements)
        self.site_unit = LayerUnit(self.features.site_width, site_width, norm)
        self.interaction_unit = LayerUnit(N_PAIR_FEATURES, interaction_width, norm)
        self.blocks = stack_attention_blocks(model)
        joined = model.attention_blocks * site_width
        self.pre_pooling = Chain(joined, pre.width, pre.depth, norm)
        self.pooling = make_pooling(model)
        pooled = self.pooling.out_width
        self.post_pooling = Chain(pooled, post.width, post.depth, norm)
        self.output = nn.Linear(post.width, output.n_targets)

    def forward(self, batch: CrystalInputs) -> Tensor:
        """Return predictions (n_crystals, n_targets) in the target's unit."""
        sites, pairs = self.features(batch)
        return self.predict(sites, pairs, self.layout(batch))

    def layout(self, batch: CrystalInputs) -> Layout:
        """Return what the blocks need to know of `batch` besides features."""
        weight = self.output.weight
        chunk_pairs = self._chunk_pairs(len(batch.pair_site), weight.device)
        return layout(batch, self._rules, weight.dtype, chunk_pairs)

    def compile_pairs(self) -> None:
        """Compile the pair part of every block, for any number of pairs and sites."""
        for block in self.blocks:
            if isinstance(block, AttentionBlock):
                block.compile_rows()

    def _chunk_pairs(self, n_pairs: int, device: torch.device) -> int | None:
        within = self.pair_budget is None or n_pairs <= self.pair_budget
        if within and self.training and self._whole_batches:
            # In chunks, the statistics of batch norm would take a pass of their own.
            return None
        if device.type == "cpu":
            return min(CACHED_PAIRS, self.pair_budget or CACHED_PAIRS)
        return self.pair_budget

    def predict(self, sites: Tensor, pairs: Tensor, layout: Layout) -> Tensor:
        """Return predictions (n_crystals, n_targets) from input vectors.

        Args:
            sites: (n_sites, E + 9) learned embedding, properties, oxidation state.
            pairs: (n_pairs, 2) distance in Å and log-Coulomb value.
            layout: which rows belong together.
        """
        per_site = self.encode(sites, pairs, layout)
        per_crystal = at_least_float32(self.pooling(per_site, layout))
        # Few rows, so full precision costs nothing, and half precision would round
        # predictions to hundredths.
        with torch.autocast(per_crystal.device.type, enabled=False):
            one_each = RowWeights(per_crystal.new_ones(layout.n_crystals))
            result: Tensor = self.output(self.post_pooling(per_crystal, one_each))
        return clamp_forward(result) if self._output.non_negative else result

    def encode(self, sites: Tensor, pairs: Tensor, layout: Layout) -> Tensor:
        """Return site features (n_sites, pre_pooling.width) before pooling."""
        of_blocks = [block.sites for block in self._blocks(sites, pairs, layout)]
        joined = torch.cat(of_blocks, dim=1)
        result: Tensor = self.pre_pooling(joined, RowWeights(layout.site_weight))
        return result

    def attention(self, batch: CrystalInputs) -> list[Tensor]:
        """Return the softmax weights of every block, (n_pairs, n_heads) each.

        The weights of a row stand for all copies of its pair together and add up to 1
        over the pairs of a site: one copy has the share 1 / `pair_multiplicity`.
        """
        sites, pairs = self.features(batch)
        blocks = self._blocks(sites, pairs, self.layout(batch))
        return [torch.cat(block.attention) for block in blocks]

    def _blocks(
        self, sites: Tensor, pairs: Tensor, layout: Layout
    ) -> Iterator[BlockOutput]:
        """Yield what comes of the blocks, one after the other."""
        recompute = self._exceeds_budget(len(pairs))
        features = self.site_unit(sites, RowWeights(layout.site_weight))
        interactions = self._interactions(pairs, layout)
        for block in self.blocks:
            out = block(features, interactions, layout, recompute=recompute)
            features, interactions = out.sites, out.interactions
            yield out

    def _interactions(self, pairs: Tensor, layout: Layout) -> PairRows:
        """Return e0 of every chunk, (n_pairs, μ)."""
        chunks, unit = layout.chunks, self.interaction_unit
        rows = torch.split(pairs, [chunk.n_pairs for chunk in chunks])
        weights = [chunk.pair_weight for chunk in chunks]
        known: dict[nn.Module, Statistics] = {}
        norm = unit.norm
        if self.training and len(chunks) > 1 and isinstance(norm, WeightedBatchNorm):
            pieces = zip(rows, weights, strict=True)
            moments = [m for piece in pieces for m in unit.moments(*piece)]
            known[norm] = norm.statistics(torch.stack(moments).sum(0))
        return tuple(
            unit(one, RowWeights(weight, known))
            for one, weight in zip(rows, weights, strict=True)
        )

    def _exceeds_budget(self, n_pairs: int) -> bool:
        budget = self.pair_budget
        return torch.is_grad_enabled() and budget is not None and n_pairs > budget


def clamp_forward(values: Tensor) -> Tensor:
    """Return `values` clamped at 0, with the gradient of the identity."""
    return values + (values.clamp(min=0) - values).detach()
