"""Linear layers on bonds that never build a bond."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sitenet_core.models.sitenet.fused import SiteParts
from sitenet_core.models.sitenet.inputs import Layout, RowChunk
from sitenet_core.models.sitenet.layers import filled_up

PairRows = tuple[Tensor, ...]
"""One tensor (n_pairs of the chunk, width) for each chunk of rows."""


class Bonds(NamedTuple):
    """The bonds of one chunk of rows, in the parts that are computed separately."""

    interactions: Tensor
    """(n_pairs, μ)."""
    sites: list[SiteParts]
    """What each layer adds to its rows."""
    weights: list[Tensor]
    """W₂ of each layer, filled up with unused rows as `filled_up` says."""
    chunk: RowChunk

    def pair_part(self, layer: int) -> Tensor:
        """Return W₂ e of layer `layer`, (n_pairs, its width or a few columns more)."""
        return functional.linear(self.interactions, self.weights[layer])


class BondLinear(nn.Module):
    """Linear layers on bonds [s_i | e_ij | s_site(j)] (eq. 3), which share one weight.

    W[s_i | e | s_j] = (W₁ s)_i + W₂ e_ij + (W₃ s)_site(j): the outer parts are computed
    once per site. The columns of the weight are in that order.

    Args:
        site_width: λ.
        interaction_width: μ.
        out_widths: length of the result of each layer.
    """

    def __init__(
        self, site_width: int, interaction_width: int, out_widths: list[int]
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * site_width + interaction_width, sum(out_widths))
        self._widths = [site_width, interaction_width, site_width]
        self._out_widths = out_widths

    def bonds(
        self, sites: Tensor, interactions: PairRows, layout: Layout
    ) -> list[Bonds]:
        """Return the bonds of every chunk, for sites (n_sites, λ)."""
        own, bond, partner = torch.split(self.linear.weight, self._widths, dim=1)
        weights = [
            filled_up(weight, interactions[0])[0]
            for weight in torch.split(bond, self._out_widths)
        ]
        of_own = self._per_layer(functional.linear(sites, own, self.linear.bias))
        of_partner = self._per_layer(functional.linear(sites, partner))
        chunks = layout.chunks
        n_rows = [chunk.n_rows for chunk in chunks]
        own_rows = zip(*(torch.split(t, n_rows) for t in of_own), strict=True)
        return [
            Bonds(
                rows,
                [
                    SiteParts(a, b, chunk.pair_site, chunk.pair_partner)
                    for a, b in zip(ours, of_partner, strict=True)
                ],
                weights,
                chunk,
            )
            for rows, ours, chunk in zip(interactions, own_rows, chunks, strict=True)
        ]

    def _per_layer(self, rows: Tensor) -> list[Tensor]:
        return [t.contiguous() for t in torch.split(rows, self._out_widths, dim=1)]
