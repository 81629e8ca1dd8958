"""What the network reads from a batch, and the constants derived from it."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class CrystalInputs(Protocol):
    """Sites and pairs of several crystals, concatenated.

    A site is a unique site of a primitive cell. The pairs of site 0 come first, then
    those of site 1, and so on; each site has a pair with itself at distance 0.
    """

    @property
    def n_crystals(self) -> int:
        """Number of crystals."""
        ...

    @property
    def atomic_numbers(self) -> Tensor:
        """(n_sites,) int64."""
        ...

    @property
    def oxidation_states(self) -> Tensor:
        """(n_sites,), 0 where the structure is not decorated."""
        ...

    @property
    def site_multiplicity(self) -> Tensor:
        """(n_sites,), number of equal sites that a row stands for."""
        ...

    @property
    def site_crystal(self) -> Tensor:
        """(n_sites,) int64, the crystal of each site."""
        ...

    @property
    def pair_site(self) -> Tensor:
        """(n_pairs,) int64, site i of each pair."""
        ...

    @property
    def pair_partner(self) -> Tensor:
        """(n_pairs,) int64, the site that atom j is an image of."""
        ...

    @property
    def pair_distance(self) -> Tensor:
        """(n_pairs,) distance d_ij in Å."""
        ...

    @property
    def pair_multiplicity(self) -> Tensor:
        """(n_pairs,), number of equal pairs that a row stands for."""
        ...


@dataclass(frozen=True)
class Layout:
    """Which rows belong together, and what is added to the logits of each pair."""

    n_crystals: int
    n_sites: int
    site_crystal: Tensor
    """(n_sites,) int64."""
    site_weight: Tensor
    """(n_sites,) multiplicities."""
    pair_site: Tensor
    """(n_pairs,) int64."""
    pair_partner: Tensor
    """(n_pairs,) int64."""
    pair_weight: Tensor
    """(n_pairs,) number of pairs that each row stands for, its site's copies too."""
    pair_bias: Tensor
    """(n_pairs,) ln of the pair's multiplicity, plus the identity bias where a site
    meets itself; -inf beyond the cutoff."""


@dataclass(frozen=True)
class LogitRules:
    """The parts of the attention logits that are not learned."""

    cutoff: float | None
    """Å; pairs farther apart get no attention, a site itself always does."""
    identity_bias: float
    """Added where a site meets itself (arXiv:2209.08190v1; absent in 2023)."""


def layout(batch: CrystalInputs, rules: LogitRules, dtype: torch.dtype) -> Layout:
    """Return the constants of `batch` that every attention block shares."""
    distance = batch.pair_distance.to(dtype)
    multiplicity = batch.pair_multiplicity.to(dtype)
    site_weight = batch.site_multiplicity.to(dtype)
    bias = multiplicity.log()
    if rules.identity_bias:
        bias = bias + rules.identity_bias * (distance == 0)
    if rules.cutoff is not None:
        bias = bias.masked_fill(distance > rules.cutoff, -torch.inf)
    return Layout(
        n_crystals=batch.n_crystals,
        n_sites=site_weight.shape[0],
        site_crystal=batch.site_crystal,
        site_weight=site_weight,
        pair_site=batch.pair_site,
        pair_partner=batch.pair_partner,
        pair_weight=multiplicity * site_weight.index_select(0, batch.pair_site),
        pair_bias=bias,
    )
