"""What the network reads from a batch, and the constants derived from it."""

from dataclasses import dataclass
from itertools import pairwise
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
    def pair_offsets(self) -> Tensor:
        """(n_sites + 1,) int64, first pair of each site's row."""
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
class RowChunk:
    """The whole rows of some consecutive sites, which a block works on together."""

    pair_site: Tensor
    """(n_pairs,) int64, counted from the first row of the chunk."""
    pair_partner: Tensor
    """(n_pairs,) int64, counted from the first site of the batch."""
    pair_offsets: Tensor
    """(n_rows + 1,) int64, first pair of each row in the chunk."""
    pair_weight: Tensor
    """(n_pairs,) number of pairs that each row stands for, its site's copies too."""
    pair_bias: Tensor
    """(n_pairs,) ln of the pair's multiplicity, plus the identity bias where a site
    meets itself; -inf beyond the cutoff."""

    @property
    def n_rows(self) -> int:
        """Number of sites whose rows these are."""
        return len(self.pair_offsets) - 1

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.pair_site)


@dataclass(frozen=True)
class Layout:
    """Which rows belong together, and what is added to the logits of each pair."""

    n_crystals: int
    n_sites: int
    site_crystal: Tensor
    """(n_sites,) int64."""
    site_weight: Tensor
    """(n_sites,) multiplicities."""
    chunks: tuple[RowChunk, ...]
    """All rows, in order."""


@dataclass(frozen=True)
class LogitRules:
    """The parts of the attention logits that are not learned."""

    cutoff: float | None
    """Å; pairs farther apart get no attention, a site itself always does."""
    identity_bias: float
    """Added where a site meets itself (arXiv:2209.08190v1; absent in 2023)."""


def layout(
    batch: CrystalInputs,
    rules: LogitRules,
    dtype: torch.dtype,
    chunk_pairs: int | None = None,
) -> Layout:
    """Return the constants of `batch` that every attention block shares.

    Args:
        batch: sites and pairs.
        rules: what the logits get besides what is learned.
        dtype: of the network.
        chunk_pairs: most pairs of a chunk, unless one row has more; None makes one
            chunk of all.
    """
    distance = batch.pair_distance.to(dtype)
    multiplicity = batch.pair_multiplicity.to(dtype)
    site_weight = batch.site_multiplicity.to(dtype)
    bias = multiplicity.log()
    if rules.identity_bias:
        bias = bias + rules.identity_bias * (distance == 0)
    if rules.cutoff is not None:
        bias = bias.masked_fill(distance > rules.cutoff, -torch.inf)
    whole = RowChunk(
        pair_site=batch.pair_site,
        pair_partner=batch.pair_partner,
        pair_offsets=batch.pair_offsets,
        pair_weight=multiplicity * site_weight.index_select(0, batch.pair_site),
        pair_bias=bias,
    )
    return Layout(
        n_crystals=batch.n_crystals,
        n_sites=site_weight.shape[0],
        site_crystal=batch.site_crystal,
        site_weight=site_weight,
        chunks=split_rows(whole, chunk_pairs),
    )


def split_rows(whole: RowChunk, chunk_pairs: int | None) -> tuple[RowChunk, ...]:
    """Return chunks of at most `chunk_pairs` pairs each; a longer row is alone."""
    if chunk_pairs is None or whole.n_pairs <= chunk_pairs:
        return (whole,)
    offsets = whole.pair_offsets.tolist()
    cuts = [0]
    for row in range(1, whole.n_rows):
        if offsets[row + 1] - offsets[cuts[-1]] > chunk_pairs:
            cuts.append(row)
    cuts.append(whole.n_rows)
    return tuple(
        _rows(whole, (first, last), (offsets[first], offsets[last]))
        for first, last in pairwise(cuts)
    )


def _rows(whole: RowChunk, rows: tuple[int, int], ends: tuple[int, int]) -> RowChunk:
    first, last = rows
    pairs = slice(*ends)
    return RowChunk(
        pair_site=whole.pair_site[pairs] - first,
        pair_partner=whole.pair_partner[pairs],
        pair_offsets=whole.pair_offsets[first : last + 1] - ends[0],
        pair_weight=whole.pair_weight[pairs],
        pair_bias=whole.pair_bias[pairs],
    )
