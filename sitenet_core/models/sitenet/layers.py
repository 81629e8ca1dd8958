"""The layer unit norm(mish(linear)) and chains of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sitenet_core.models.sitenet.fused import (
    LANES,
    Scale,
    SiteParts,
    can_fuse,
    fused_affine,
    fused_moments,
    fused_projection,
    fused_unit,
)
from sitenet_core.models.sitenet.norms import (
    LayerNorm,
    Norm,
    Normalization,
    RowWeights,
    WeightedBatchNorm,
    make_norm,
)
from sitenet_core.models.sitenet.ragged import at_least_float32


def mish(values: Tensor) -> Tensor:
    """Return x·tanh(softplus(x)), the activation of every layer unit.

    Compiled, it is x·n/(n + 2) with n = e(e + 2), e = exp(min(x, 20)): one exponential,
    which a compiler merges with the norm behind it. Its own kernel is one launch.
    """
    if not torch.compiler.is_compiling():
        return functional.mish(values)
    wide = at_least_float32(values)
    exponential = torch.exp(wide.clamp(max=20.0))
    n = exponential * (exponential + 2)
    return (wide * (n / (n + 2))).to(values.dtype)


def filled_up(
    weight: Tensor, rows: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return the weights of a linear layer on `rows` with a round number of results.

    Zeros fill them up to a multiple of `LANES` where the kernels, which ignore the
    columns that come of it, take the result.
    """
    missing = -len(weight) % LANES
    if missing == 0 or not can_fuse(rows):
        return weight, bias
    if bias is not None:
        bias = functional.pad(bias, (0, missing))
    return functional.pad(weight, (0, 0, 0, missing)), bias


def add_sites(rows: Tensor, sites: SiteParts) -> Tensor:
    """Return the rows of pairs with the parts of both sites added."""
    rows = rows + sites.own.index_select(0, sites.pair_site)
    return rows + sites.partner.index_select(0, sites.pair_partner)


def activate(rows: Tensor, width: int, sites: SiteParts | None = None) -> Tensor:
    """Return mish(rows + per-site parts), (n_rows, width); see `finish_unit`."""
    if can_fuse(rows):
        return fused_unit(rows, width, None, sites)
    rows = rows[:, :width]
    return mish(rows if sites is None else add_sites(rows, sites))


def finish_unit(
    rows: Tensor, norm: Norm, weights: RowWeights, sites: SiteParts | None = None
) -> Tensor:
    """Return norm(mish(rows + per-site parts)), (n_rows, width of the norm).

    Args:
        rows: fresh result of a linear layer (`filled_up`); may be changed in place.
        norm: what comes after mish.
        weights: what the norm needs to know of the rows.
        sites: what a layer on bonds adds to the row of each pair.
    """
    if can_fuse(rows) and isinstance(norm, LayerNorm):
        scale = Scale(norm.weight, norm.bias)
        return fused_unit(rows, norm.width, scale, sites)
    if can_fuse(rows) and isinstance(norm, WeightedBatchNorm):
        known = norm.known(weights)
        if known is None:
            rows, sums = fused_moments(rows, norm.width, weights.weight, sites)
            known, sites = norm.statistics(with_total(sums, weights.weight)), None
        return fused_affine(rows, Scale(*norm.affine(known)), sites)
    result: Tensor = norm(activate(rows, norm.width, sites), weights)
    return result


def unit_moments(
    rows: Tensor, norm: WeightedBatchNorm, weight: Tensor, sites: SiteParts | None
) -> Tensor:
    """Return the moments (3, width) that batch norm needs of mish(rows + ...)."""
    if can_fuse(rows):
        _, sums = fused_moments(rows, norm.width, weight, sites)
        return with_total(sums, weight)
    return norm.moments(activate(rows, norm.width, sites), weight)


def with_total(sums: Tensor, weight: Tensor) -> Tensor:
    """Return moments (3, width): total weight, sum and sum of squares."""
    total = weight.sum(dtype=sums.dtype).expand(1, sums.shape[1])
    return torch.cat([total, sums])


def finish_and_project(
    rows: Tensor,
    norm: Norm,
    weights: RowWeights,
    linear: nn.Linear,
    sites: SiteParts | None = None,
) -> Tensor:
    """Return linear(finish_unit(...)), (n_rows, out), for a layer with few results."""
    if can_fuse(rows) and isinstance(norm, LayerNorm):
        scale = Scale(norm.weight, norm.bias)
        return fused_projection(rows, scale, (linear.weight, linear.bias), sites)
    result: Tensor = linear(finish_unit(rows, norm, weights, sites))
    return result


class LayerUnit(nn.Module):
    """P(a→b) = norm_b(mish(W x + b)).

    Args:
        in_width: a.
        out_width: b.
        normalization: kind of norm.
    """

    def __init__(
        self, in_width: int, out_width: int, normalization: Normalization
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_width, out_width)
        self.norm = make_norm(out_width, normalization)

    def forward(self, rows: Tensor, weights: RowWeights) -> Tensor:
        """Return (n_rows, b) for (n_rows, a)."""
        return finish_unit(self._linear(rows), self.norm, weights)

    def moments(self, rows: Tensor, weight: Tensor) -> list[Tensor]:
        """Return the moments of batch norm for rows (n_rows, a); none otherwise."""
        if not isinstance(self.norm, WeightedBatchNorm):
            return []
        return [unit_moments(self._linear(rows), self.norm, weight, None)]

    def _linear(self, rows: Tensor) -> Tensor:
        weight, bias = filled_up(self.linear.weight, rows, self.linear.bias)
        return functional.linear(rows, weight, bias)


class Chain(nn.Module):
    """Layer units of one width, one after the other.

    Args:
        in_width: length of an incoming row.
        width: width of every unit.
        depth: number of units; 0 hands the rows on.
        normalization: kind of norm of every unit.
    """

    def __init__(
        self, in_width: int, width: int, depth: int, normalization: Normalization
    ) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            LayerUnit(width if index else in_width, width, normalization)
            for index in range(depth)
        )

    def unit(self, index: int) -> LayerUnit:
        """Return unit `index`."""
        unit: LayerUnit = self.units[index]  # type: ignore[assignment]
        return unit

    def forward(self, rows: Tensor, weights: RowWeights) -> Tensor:
        """Return (n_rows, width)."""
        for unit in self.units:
            rows = unit(rows, weights)
        return rows
