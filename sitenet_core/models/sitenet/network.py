"""The Site-Net module: a batch of crystals in, a prediction per crystal out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sitenet_core.models.sitenet.attention import stack_attention_blocks
from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.features import N_PAIR_FEATURES, InputFeatures
from sitenet_core.models.sitenet.inputs import (
    CrystalInputs,
    Layout,
    LogitRules,
    layout,
)
from sitenet_core.models.sitenet.layers import Chain, LayerUnit
from sitenet_core.models.sitenet.pooling import make_pooling
from sitenet_core.models.sitenet.ragged import at_least_float32


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
    """

    def __init__(
        self, model: ModelSection, elements: Tensor, output: OutputSection
    ) -> None:
        super().__init__()
        norm, heads = model.normalization, model.attention_heads
        site_width = heads * model.site_dim_per_head
        interaction_width = heads * model.interaction_dim_per_head
        pre, post = model.pre_pooling, model.post_pooling
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
        return layout(batch, self._rules, self.output.weight.dtype)

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
            one_each = per_crystal.new_ones(layout.n_crystals)
            result: Tensor = self.output(self.post_pooling(per_crystal, one_each))
        return clamp_forward(result) if self._output.non_negative else result

    def encode(self, sites: Tensor, pairs: Tensor, layout: Layout) -> Tensor:
        """Return site features (n_sites, pre_pooling.width) before pooling."""
        features = self.site_unit(sites, layout.site_weight)
        interactions = self.interaction_unit(pairs, layout.pair_weight)
        of_blocks = []
        for block in self.blocks:
            features, interactions, _ = block(features, interactions, layout)
            of_blocks.append(features)
        joined = torch.cat(of_blocks, dim=1)
        result: Tensor = self.pre_pooling(joined, layout.site_weight)
        return result


def clamp_forward(values: Tensor) -> Tensor:
    """Return `values` clamped at 0, with the gradient of the identity."""
    return values + (values.clamp(min=0) - values).detach()
