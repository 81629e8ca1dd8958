"""A unit with batch norm as two operations: its sums over the batch, and the norm.

The statistics that come of the sums are worked out by torch in between, so that their
gradient is exact. Sums are in double precision.
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


def fused_moments(
    rows: Tensor, width: int, weight: Tensor, sites: SiteParts | None
) -> tuple[Tensor, Tensor]:
    """Return x = rows + own[i] + partner[j], and the sums over its rows.

    Args:
        rows: as for `fused_unit`.
        width: columns in use.
        weight: (n_rows,) float32, w.
        sites: what is added to the rows of pairs; None adds nothing.

    Returns:
        x, which is `rows` changed in place, and (2, width) double: Σ w m and Σ w m²
        with m = mish(x).
    """
    own, partner, site, other = sites or (None, None, None, None)
    result: tuple[Tensor, Tensor] = _Moments.apply(
        rows, width, weight, own, partner, site, other
    )
    return result


def fused_affine(rows: Tensor, norm: Scale, sites: SiteParts | None) -> Tensor:
    """Return mish(rows + own[i] + partner[j])·scale + shift, (n_rows, width).

    Args:
        rows: as for `fused_unit`; not changed if `sites` is None.
        norm: what batch norm comes to once its statistics are known.
        sites: what is added to the rows of pairs; None adds nothing.
    """
    own, partner, site, other = sites or (None, None, None, None)
    result: Tensor = _Affine.apply(rows, *norm, own, partner, site, other)
    return result


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, width: int, weight: Tensor, *sites: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        from sitenet_core.models.sitenet.fused import kernels

        added = AddedSites(sites)
        parts = parts_of(*rows.shape)
        sums = torch.zeros((len(parts), 2, width), dtype=torch.float64)
        weight = weight.contiguous()

        def work(part: int, begin: int, end: int) -> None:
            x = array_of(rows)[begin:end]
            added.add_to(x, begin, end)
            kernels.moments_forward(
                x, array_of(weight)[begin:end], array_of(sums)[part]
            )

        for_each_part(parts, work)
        ctx.mark_dirty(rows)
        ctx.shapes = [tuple(t.shape) for t in added.tensors[:2]]
        ctx.save_for_backward(rows, weight, *added.tensors[2:])
        return rows, sums.sum(0)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor | None, grad_sums: Tensor
    ) -> tuple[Tensor | None, ...]:
        from sitenet_core.models.sitenet.fused import kernels

        rows, weight, *pairs = ctx.saved_tensors
        grad_rows = torch.zeros_like(rows) if grad is None else grad.clone()
        parts = parts_of(*rows.shape)
        of_sites = SiteGradients(rows, ctx.shapes, len(parts))
        of_sums = array_of(grad_sums.contiguous())

        def work(part: int, begin: int, end: int) -> None:
            x, w, out = (array_of(t)[begin:end] for t in (rows, weight, grad_rows))
            kernels.moments_backward(of_sums, x, w, out)
            of_sites.add(part, out, [array_of(t)[begin:end] for t in pairs])

        for_each_part(parts, work)
        return grad_rows, None, None, *of_sites.totals(), None, None


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, scale: Tensor, shift: Tensor, *sites: Tensor | None
    ) -> Tensor:
        from sitenet_core.models.sitenet.fused import kernels

        out = rows.new_empty((len(rows), len(scale)))
        added = AddedSites(sites)
        learned = [array_of(t.contiguous()) for t in (scale, shift)]

        def work(_part: int, begin: int, end: int) -> None:
            x = array_of(rows)[begin:end]
            added.add_to(x, begin, end)
            kernels.affine_forward(x, *learned, array_of(out)[begin:end])

        for_each_part(parts_of(*rows.shape), work)
        ctx.shapes = [tuple(t.shape) for t in added.tensors[:2]]
        ctx.save_for_backward(rows, scale, *added.tensors[2:])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from sitenet_core.models.sitenet.fused import kernels

        rows, scale, *pairs = ctx.saved_tensors
        grad, parts = grad.contiguous(), parts_of(*rows.shape)
        grad_rows = torch.empty_like(rows)
        learned = grad.new_zeros((2, len(parts), len(scale)))
        of_sites = SiteGradients(rows, ctx.shapes, len(parts))

        def work(part: int, begin: int, end: int) -> None:
            x, g, out = (array_of(t)[begin:end] for t in (rows, grad, grad_rows))
            sums = array_of(learned)[:, part]
            kernels.affine_backward(g, x, array_of(scale.contiguous()), out, *sums)
            of_sites.add(part, out, [array_of(t)[begin:end] for t in pairs])

        for_each_part(parts, work)
        to_scale, to_shift = learned.sum(1)
        return grad_rows, to_scale, to_shift, *of_sites.totals(), None, None
