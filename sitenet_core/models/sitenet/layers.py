"""The layer unit norm(mish(linear)), chains of it, and its three norms."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sitenet_core.models.sitenet.ragged import at_least_float32

Normalization = Literal["batch", "layer", "none"]


class NoNorm(nn.Module):
    """The identity, with the signature of a norm."""

    def forward(self, rows: Tensor, weight: Tensor) -> Tensor:
        """Return `rows`; `weight` plays no part."""
        del weight
        return rows


class LayerNorm(nn.LayerNorm):
    """Layer norm of each row, with the signature of a norm."""

    def forward(self, rows: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        """Return normalised (n_rows, width); `weight` plays no part."""
        del weight
        return super().forward(rows)


class WeightedBatchNorm(nn.Module):
    """Batch norm in which a row counts as often as its multiplicity says.

    With total weight n, the batch is normalised by its mean and biased variance, and
    the running variance takes n/(n-1) of the latter. A batch of total weight 1 (one
    crystal after pooling, a crystal with one site) has no variance: it is normalised by
    the running statistics and leaves them alone.

    Args:
        width: length of a row.
    """

    momentum = 0.1
    eps = 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, rows: Tensor, weight: Tensor) -> Tensor:
        """Return normalised (n_rows, width), float32 at least.

        Args:
            rows: (n_rows, width).
            weight: (n_rows,) multiplicities, at least 1.
        """
        rows = at_least_float32(rows)
        if self.training:
            mean, variance = self._batch_statistics(rows, weight.to(rows.dtype))
        else:
            mean, variance = self.running_mean, self.running_var
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (rows - mean) * scale + self.bias

    def _batch_statistics(self, rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        total = weight.sum()
        column = weight.unsqueeze(1)
        mean = (rows * column).sum(0) / total
        variance = ((rows - mean).square() * column).sum(0) / total
        several = total > 1
        with torch.no_grad():
            step = several.to(mean.dtype) * self.momentum
            unbiased = variance * (total / (total - 1).clamp(min=1))
            self.running_mean.lerp_(mean, step)
            self.running_var.lerp_(unbiased, step)
        return (
            torch.where(several, mean, self.running_mean),
            torch.where(several, variance, self.running_var),
        )


def make_norm(width: int, normalization: Normalization) -> nn.Module:
    """Return a norm over rows of `width`, called with (rows, weight)."""
    if normalization == "layer":
        return LayerNorm(width)
    if normalization == "batch":
        return WeightedBatchNorm(width)
    return NoNorm()


def mish(values: Tensor) -> Tensor:
    """Return x·tanh(softplus(x)), the activation of every layer unit."""
    return functional.mish(values)


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

    def forward(self, rows: Tensor, weight: Tensor) -> Tensor:
        """Return (n_rows, b) for (n_rows, a); `weight` (n_rows,) multiplicities."""
        result: Tensor = self.norm(mish(self.linear(rows)), weight)
        return result


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

    def forward(self, rows: Tensor, weight: Tensor) -> Tensor:
        """Return (n_rows, width); `weight` (n_rows,) multiplicities."""
        for unit in self.units:
            rows = unit(rows, weight)
        return rows
