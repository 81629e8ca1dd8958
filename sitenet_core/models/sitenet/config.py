"""The options of Site-Net that decide its weights, its features and its batches.

Defaults are the values of Table 1 of the 2023 paper (doi:10.1039/d3dd00005b). The
bounds are hard limits of the code; a search space narrows them.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from sitenet_core.config.strict import StrictModel


class PrePoolingSection(StrictModel):
    """The chain of layer units on each site before pooling."""

    depth: int = Field(default=1, ge=1, le=16)
    """Number of layer units."""
    width: int = Field(default=94, ge=1, le=4096)
    """Width of every unit."""


class PostPoolingSection(StrictModel):
    """The chain of layer units on each crystal after pooling."""

    depth: int = Field(default=3, ge=1, le=16)
    """Number of layer units."""
    width: int = Field(default=200, ge=1, le=4096)
    """Width of every unit."""


class AttentionWeightsSection(StrictModel):
    """g^W, which turns a bond into one attention logit per head (eq. 5)."""

    depth: int = Field(default=1, ge=0, le=16)
    """Layer units before the linear layer to the heads; 0 leaves that layer alone."""
    width: int | None = Field(default=225, ge=1, le=4096)
    """Width of the units; null if and only if `depth` is 0."""

    @model_validator(mode="after")
    def _width_fits_depth(self) -> Self:
        if self.depth == 0 and self.width is not None:
            raise ValueError("depth 0 has no width: write `width: null`")
        if self.depth > 0 and self.width is None:
            raise ValueError(f"depth {self.depth} needs a width: give an integer")
        return self


class FeaturesSection(StrictModel):
    """How the elemental properties enter the network."""

    scaling: Literal["standard", "none"] = "standard"
    """`standard`: z-score of the eight elemental properties over Z = 1-103; `none`:
    as tabulated, which is what the published code does."""


class ModelSection(StrictModel):
    """Architecture of the network, row by row of Table 1 and its later options."""

    embedding_dim: int = Field(default=92, ge=1, le=1024)
    """Length of the learned embedding of an element."""
    site_dim_per_head: int = Field(default=30, ge=1, le=512)
    """Site features per attention head."""
    interaction_dim_per_head: int = Field(default=16, ge=1, le=512)
    """Interaction features per attention head."""
    attention_blocks: int = Field(default=2, ge=1, le=12)
    """Attention blocks, each with its own weights."""
    attention_heads: int = Field(default=3, ge=1, le=64)
    """Attention heads of every block."""
    attention_weights: AttentionWeightsSection = AttentionWeightsSection()
    """g^W (eq. 5)."""
    pre_pooling: PrePoolingSection = PrePoolingSection()
    """Layer units on each site before pooling."""
    post_pooling: PostPoolingSection = PostPoolingSection()
    """Layer units on each crystal after pooling."""
    normalization: Literal["batch", "layer", "none"] = "layer"
    """Norm of every layer unit, after the activation."""
    pooling: Literal["mean", "max", "self_attention"] = "mean"
    """How the sites of a crystal become one vector."""
    pooling_heads: int | None = Field(default=None, ge=1, le=64)
    """Heads of `self_attention` pooling; null for the other kinds."""
    pooling_queries: int | None = Field(default=None, ge=1, le=64)
    """Learned queries of `self_attention` pooling, whose results are concatenated;
    null for the other kinds."""
    cutoff: float | None = Field(default=None, gt=0)
    """Distance in Å above which a pair gets no attention; null attends to all."""
    identity_bias: float = Field(default=0.0, ge=-100, le=100)
    """Added to the logits of a site with itself; 1 in the 2022 paper."""
    values: Literal["shared", "per_head"] = "shared"
    """g^F: one value vector for all heads, or one for each."""

    @model_validator(mode="after")
    def _pooling_keys_fit_pooling(self) -> Self:
        for key in ("pooling_heads", "pooling_queries"):
            given = getattr(self, key) is not None
            if given and self.pooling != "self_attention":
                raise ValueError(
                    f"{key} is only for self_attention pooling: write `{key}: null` "
                    f"with `pooling: {self.pooling}`"
                )
            if not given and self.pooling == "self_attention":
                raise ValueError(f"self_attention pooling needs {key}: give an integer")
        return self


class BatchSection(StrictModel):
    """What a batch is filled with: exactly one of the two keys is a number."""

    unique_sites: int | None = Field(default=1200, ge=1, le=10_000_000)
    """Largest sum of unique sites in a batch (2023 paper); a crystal with more is a
    batch of its own."""
    crystals: int | None = Field(default=None, ge=1, le=1_000_000)
    """Number of crystals in a batch (2022 paper)."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.unique_sites is not None and self.crystals is not None:
            raise ValueError(
                f"both unique_sites ({self.unique_sites}, 1200 unless said otherwise) "
                f"and crystals ({self.crystals}) are numbers; only one may be: write "
                "`unique_sites: null` to count crystals"
            )
        if self.unique_sites is None and self.crystals is None:
            raise ValueError(
                "unique_sites and crystals are both null; exactly one may be: give the "
                "other an integer"
            )
        return self
