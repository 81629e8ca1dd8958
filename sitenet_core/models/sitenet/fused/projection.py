"""A unit and the linear layer behind it as one operation, where results are few."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sitenet_core.models.sitenet.fused.sites import (
    AddedSites,
    Scale,
    SiteGradients,
    SiteParts,
    array_of,
)
from sitenet_core.models.sitenet.fused.threads import for_each_part, parts_of


def fused_projection(
    rows: Tensor, norm: Scale, linear: tuple[Tensor, Tensor], sites: SiteParts | None
) -> Tensor:
    """Return W h + b, (n_rows, n_out), of h = norm(mish(rows + own[i] + partner[j])).

    As `fused_unit` and a linear layer with few results, without ever writing h.

    Args:
        rows: as for `fused_unit`.
        norm: layer norm after mish.
        linear: W (n_out, width) and b (n_out,).
        sites: what is added to the rows of pairs; None adds nothing.
    """
    own, partner, site, other = sites or (None, None, None, None)
    result: Tensor = _Projection.apply(rows, *norm, *linear, own, partner, site, other)
    return result


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        scale: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        *sites: Tensor | None,
    ) -> Tensor:
        from sitenet_core.models.sitenet.fused import kernels

        out = rows.new_empty((len(rows), len(weight)))
        statistics = rows.new_empty((2, len(rows)))
        added = AddedSites(sites)
        learned = [array_of(t.contiguous()) for t in (scale, shift, weight, bias)]

        def work(_part: int, begin: int, end: int) -> None:
            x, y = array_of(rows)[begin:end], array_of(out)[begin:end]
            added.add_to(x, begin, end)
            mean, inverse = array_of(statistics)[:, begin:end]
            kernels.projected_forward(x, *learned, y, mean, inverse)

        for_each_part(parts_of(*rows.shape), work)
        ctx.shapes = [tuple(t.shape) for t in added.tensors[:2]]
        ctx.save_for_backward(
            rows, scale, shift, weight, statistics, *added.tensors[2:]
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from sitenet_core.models.sitenet.fused import kernels

        rows, scale, shift, weight, statistics, *pairs = ctx.saved_tensors
        grad, parts = grad.contiguous(), parts_of(*rows.shape)
        grad_rows = torch.empty_like(rows)
        learned = [array_of(t.contiguous()) for t in (scale, shift, weight)]
        norm = grad.new_zeros((2, len(parts), len(scale)))
        linear = grad.new_zeros((len(parts), *weight.shape))
        of_sites = SiteGradients(grad, ctx.shapes, len(parts))

        def work(part: int, begin: int, end: int) -> None:
            x, g, out = (array_of(t)[begin:end] for t in (rows, grad, grad_rows))
            mean, inverse = array_of(statistics)[:, begin:end]
            sums = (*array_of(norm)[:, part], array_of(linear)[part])
            kernels.projected_backward(g, x, *learned, mean, inverse, out, *sums)
            of_sites.add(part, out, [array_of(t)[begin:end] for t in pairs])

        for_each_part(parts, work)
        own = of_sites.totals()
        return grad_rows, *norm.sum(1), linear.sum(0), grad.sum(0), *own, None, None
