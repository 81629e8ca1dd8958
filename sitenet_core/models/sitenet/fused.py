"""The elementwise work of the pair part as two differentiable operations on a CPU.

`fused_unit` is what follows the linear layer of a unit: per-site parts are added, then
mish and layer norm are taken. `fused_attention` is the softmax over each site's row and
the weighted sums. They compute what `layers` and `ragged` compute with torch's
operations, which are their oracle in the tests. They keep the rows before mish for the
backward pass and nothing else of that width.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sitenet_core.models.sitenet.threads import for_each_part, parts_of

LANES = 16
"""Numbers in the widest vector register: a matrix product whose result has a multiple
of these columns is up to a third faster."""


class SiteParts(NamedTuple):
    """The parts of a linear layer on bonds that are computed once per site."""

    own: Tensor
    """(n_rows, width), added to the pairs of each row."""
    partner: Tensor
    """(n_sites, width), added to the pairs with each site."""
    pair_site: Tensor
    """(n_pairs,) int64, index into `own`."""
    pair_partner: Tensor
    """(n_pairs,) int64, index into `partner`."""


class Scale(NamedTuple):
    """The learned part of a layer norm."""

    scale: Tensor
    """(width,)."""
    shift: Tensor
    """(width,)."""


def can_fuse(rows: Tensor) -> bool:
    """Return whether the kernels take these rows; others go the plain way."""
    return (
        rows.device.type == "cpu"
        and rows.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


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


def fused_attention(
    logits: Tensor, bias: Tensor, values: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor]:
    """Return y (n_rows, d·H) with y_i[e·H + h] = Σ_j a_ij[h] A_ij[e], and a.

    Args:
        logits: (n_pairs, H).
        bias: (n_pairs,) added to the logits; -inf excludes a pair.
        values: (n_pairs, d), shared by the heads.
        offsets: (n_rows + 1,) int64, first pair of each row.

    Returns:
        y, and the attention (n_pairs, H), which passes no gradient on.
    """
    result: tuple[Tensor, Tensor] = _Attention.apply(logits, bias, values, offsets)
    return result


def _array(tensor: Tensor) -> Any:
    return tensor.detach().numpy()


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
        from sitenet_core.models.sitenet import kernels

        out = rows.new_empty((len(rows), width))
        statistics = rows.new_empty((2, 0 if scale is None else len(rows)))
        given = [t.contiguous() for t in sites if t is not None]

        def work(_part: int, begin: int, end: int) -> None:
            x, y = _array(rows)[begin:end], _array(out)[begin:end]
            if given:
                own, partner, site, other = map(_array, given)
                kernels.add_site_parts(
                    x, own, partner, site[begin:end], other[begin:end]
                )
            if scale is None or shift is None:
                kernels.mish_forward(x, y)
                return
            mean, inverse = _array(statistics)[:, begin:end]
            kernels.mish_norm_forward(x, _array(scale), _array(shift), y, mean, inverse)

        for_each_part(parts_of(len(rows)), work)
        ctx.n_sites = tuple(len(t) for t in given[:2])
        ctx.save_for_backward(rows, scale, statistics, *given[2:])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from sitenet_core.models.sitenet import kernels

        rows, scale, statistics, *pairs = ctx.saved_tensors
        width, grad = grad.shape[1], grad.contiguous()
        parts = parts_of(len(rows))
        grad_rows = torch.empty_like(rows)
        # One slice per part, so that parts never add to the same place.
        learned = grad.new_zeros((2, len(parts), width))
        of_sites = [grad.new_zeros((len(parts), n, width)) for n in ctx.n_sites]

        def work(part: int, begin: int, end: int) -> None:
            x, g, out = (_array(t)[begin:end] for t in (rows, grad, grad_rows))
            if scale is None:
                kernels.mish_backward(g, x, out)
            else:
                mean, inverse = _array(statistics)[:, begin:end]
                to_scale, to_shift = _array(learned)[:, part]
                kernels.mish_norm_backward(
                    g, x, _array(scale), mean, inverse, out, to_scale, to_shift
                )
            if of_sites:
                site, other = (_array(t)[begin:end] for t in pairs)
                own, partner = (_array(t)[part] for t in of_sites)
                kernels.add_to_sites(out, site, other, own, partner)

        for_each_part(parts, work)
        to_scale, to_shift = (None, None) if scale is None else learned.sum(1)
        own, partner = [t.sum(0) for t in of_sites] or (None, None)
        return grad_rows, None, to_scale, to_shift, own, partner, None, None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, bias: Tensor, values: Tensor, offsets: Tensor
    ) -> tuple[Tensor, Tensor]:
        from sitenet_core.models.sitenet import kernels

        logits, values = logits.contiguous(), values.contiguous()
        attention = torch.empty_like(logits)
        n_rows, width = len(offsets) - 1, logits.shape[1] * values.shape[1]
        gathered = values.new_empty((n_rows, width))
        arrays = [_array(t) for t in (logits, bias, values, offsets)]

        def work(_part: int, begin: int, end: int) -> None:
            lines = arrays[3][begin : end + 1]
            out = _array(gathered)[begin:end]
            kernels.attend_forward(*arrays[:3], lines, _array(attention), out)

        for_each_part(parts_of(n_rows), work)
        ctx.mark_non_differentiable(attention)
        ctx.save_for_backward(attention, values, offsets)
        return gathered, attention

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, _attention: Tensor
    ) -> tuple[Tensor | None, ...]:
        from sitenet_core.models.sitenet import kernels

        attention, values, offsets = ctx.saved_tensors
        grad = grad.contiguous()
        to_logits, to_values = torch.empty_like(attention), torch.empty_like(values)
        arrays = [_array(t) for t in (attention, values, to_logits, to_values)]

        def work(_part: int, begin: int, end: int) -> None:
            lines = _array(offsets)[begin : end + 1]
            ours, theirs = arrays[:2], arrays[2:]
            kernels.attend_backward(_array(grad)[begin:end], *ours, lines, *theirs)

        for_each_part(parts_of(len(grad)), work)
        return to_logits, None, to_values, None
