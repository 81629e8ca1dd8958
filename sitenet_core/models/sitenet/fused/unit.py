"""What follows the linear layer of a unit, as one differentiable operation on a CPU.

Per-site parts are added, then mish and layer norm are taken, as `layers` does with
torch's operations, its oracle in the tests. The rows before mish are kept for the
backward pass, and nothing else of that width.
"""

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


def fused_unit(
    rows: Tensor, width: int, norm: Scale | None, sites: SiteParts | None
) -> Tensor:
    """Return norm(mish(rows + own[i] + partner[j])), (n_rows, width).

    Args:
        rows: (n_rows, at least `width`), the fresh result of a linear layer. It is
            changed in place: no one else may read it.
        width: columns in use.
        norm: layer norm after mish; None leaves it out.
        sites: what is added to the rows of pairs; None adds nothing.
    """
    scale, shift = norm or (None, None)
    own, partner, site, other = sites or (None, None, None, None)
    result: Tensor = _Unit.apply(rows, width, scale, shift, own, partner, site, other)
    return result


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        width: int,
        scale: Tensor | None,
        shift: Tensor | None,
        *sites: Tensor | None,
    ) -> Tensor:
        from sitenet_core.models.sitenet.fused import kernels

        out = rows.new_empty((len(rows), width))
        statistics = rows.new_empty((2, 0 if scale is None else len(rows)))
        added = AddedSites(sites)

        def work(_part: int, begin: int, end: int) -> None:
            x, y = array_of(rows)[begin:end], array_of(out)[begin:end]
            added.add_to(x, begin, end)
            if scale is None or shift is None:
                kernels.mish_forward(x, y)
                return
            mean, inverse = array_of(statistics)[:, begin:end]
            kernels.mish_norm_forward(
                x, array_of(scale), array_of(shift), y, mean, inverse
            )

        for_each_part(parts_of(*rows.shape), work)
        ctx.shapes = [tuple(t.shape) for t in added.tensors[:2]]
        ctx.save_for_backward(rows, scale, statistics, *added.tensors[2:])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from sitenet_core.models.sitenet.fused import kernels

        rows, scale, statistics, *pairs = ctx.saved_tensors
        grad, parts = grad.contiguous(), parts_of(*rows.shape)
        grad_rows = torch.empty_like(rows)
        learned = grad.new_zeros((2, len(parts), grad.shape[1]))
        of_sites = SiteGradients(grad, ctx.shapes, len(parts))

        def work(part: int, begin: int, end: int) -> None:
            x, g, out = (array_of(t)[begin:end] for t in (rows, grad, grad_rows))
            if scale is None:
                kernels.mish_backward(g, x, out)
            else:
                mean, inverse = array_of(statistics)[:, begin:end]
                sums = array_of(learned)[:, part]
                kernels.mish_norm_backward(
                    g, x, array_of(scale), mean, inverse, out, *sums
                )
            of_sites.add(part, out, [array_of(t)[begin:end] for t in pairs])

        for_each_part(parts, work)
        to_scale, to_shift = (None, None) if scale is None else learned.sum(1)
        return grad_rows, None, to_scale, to_shift, *of_sites.totals(), None, None
