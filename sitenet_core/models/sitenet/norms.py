"""Norms over rows that stand for several: layer, batch, none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sitenet_core.models.sitenet.ragged import at_least_float32

Normalization = Literal["batch", "layer", "none"]


class Statistics(NamedTuple):
    """What batch norm subtracts and divides by."""

    mean: Tensor
    """(width,)."""
    variance: Tensor
    """(width,), biased."""


@dataclass(frozen=True)
class RowWeights:
    """What a norm needs to know of its rows."""

    weight: Tensor
    """(n_rows,) how many equal rows each stands for, at least 1."""
    statistics: Mapping[nn.Module, Statistics] = field(default_factory=dict)
    """Of batch norms whose rows are not all at hand; the others take their own."""


class NoNorm(nn.Module):
    """The identity, with the signature of a norm.

    Args:
        width: length of a row.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, rows: Tensor, weights: RowWeights) -> Tensor:
        """Return `rows`; `weights` play no part."""
        del weights
        return rows


class LayerNorm(nn.LayerNorm):
    """Layer norm of each row, with the signature of a norm.

    Args:
        width: length of a row.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width = width

    def forward(self, rows: Tensor, weights: RowWeights) -> Tensor:  # type: ignore[override]
        """Return normalised (n_rows, width); `weights` play no part."""
        del weights
        return super().forward(rows)


class WeightedBatchNorm(nn.Module):
    """Batch norm in which a row counts as often as its multiplicity says.

    With total weight n, the batch is normalised by its mean and biased variance, and
    the running variance takes n/(n-1) of the latter. A batch of total weight 1 (one
    crystal after pooling, a crystal with one site) has no variance: it is normalised by
    the running statistics and leaves them alone.

    Rows of a batch that are worked on in chunks are added up first (`moments`), and
    then normalised with the statistics of all (`statistics`, `RowWeights`).

    Args:
        width: length of a row.
    """

    momentum = 0.1
    eps = 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, rows: Tensor, weights: RowWeights) -> Tensor:
        """Return normalised (n_rows, width), float32 at least."""
        rows = at_least_float32(rows)
        known = self.known(weights)
        if known is None:
            known = self._statistics_of(rows, weights.weight.to(rows.dtype))
        scale, shift = self.affine(known)
        return rows * scale + shift

    def known(self, weights: RowWeights) -> Statistics | None:
        """Return the statistics to use; None if they are those of the rows."""
        if self.training:
            return weights.statistics.get(self)
        return Statistics(self.running_mean, self.running_var)

    def affine(self, statistics: Statistics) -> tuple[Tensor, Tensor]:
        """Return the scale and the shift, (width,) each, that the norm comes to."""
        scale = self.weight * torch.rsqrt(statistics.variance + self.eps)
        return scale, self.bias - statistics.mean * scale

    def moments(self, rows: Tensor, weight: Tensor) -> Tensor:
        """Return (3, width) double: weight, weighted sum and sum of squares of rows."""
        wide, column = rows.double(), weight.double().unsqueeze(1)
        weighted = wide * column
        total = column.sum().expand(self.width)
        return torch.stack([total, weighted.sum(0), (weighted * wide).sum(0)])

    def statistics(self, moments: Tensor) -> Statistics:
        """Return the statistics of a batch whose `moments` were added up.

        The running statistics take note of them, so call it once for a batch.
        """
        total, first, second = moments
        mean = first / total
        # In double there are digits to spare for the difference of two squares.
        variance = (second / total - mean.square()).clamp(min=0)
        dtype = self.weight.dtype
        return self._noted(mean.to(dtype), variance.to(dtype), total[0].to(dtype))

    def _statistics_of(self, rows: Tensor, weight: Tensor) -> Statistics:
        total = weight.sum()
        column = weight.unsqueeze(1)
        mean = (rows * column).sum(0) / total
        variance = ((rows - mean).square() * column).sum(0) / total
        return self._noted(mean, variance, total)

    def _noted(self, mean: Tensor, variance: Tensor, total: Tensor) -> Statistics:
        several = total > 1
        with torch.no_grad():
            step = several.to(mean.dtype) * self.momentum
            unbiased = variance * (total / (total - 1).clamp(min=1))
            self.running_mean.lerp_(mean, step)
            self.running_var.lerp_(unbiased, step)
        return Statistics(
            torch.where(several, mean, self.running_mean),
            torch.where(several, variance, self.running_var),
        )


Norm = NoNorm | LayerNorm | WeightedBatchNorm


def make_norm(width: int, normalization: Normalization) -> Norm:
    """Return a norm over rows of `width`, called with (rows, weights)."""
    if normalization == "layer":
        return LayerNorm(width)
    if normalization == "batch":
        return WeightedBatchNorm(width)
    return NoNorm(width)
