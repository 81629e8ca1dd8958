"""The softmax over each site's row and the weighted sums as one operation on a CPU.

It computes what `ragged` computes with torch's operations, its oracle in the tests.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sitenet_core.models.sitenet.fused.sites import array_of
from sitenet_core.models.sitenet.fused.threads import for_each_part, parts_of


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


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, bias: Tensor, values: Tensor, offsets: Tensor
    ) -> tuple[Tensor, Tensor]:
        from sitenet_core.models.sitenet.fused import kernels

        logits, values = logits.contiguous(), values.contiguous()
        attention = torch.empty_like(logits)
        n_rows, width = len(offsets) - 1, logits.shape[1] * values.shape[1]
        gathered = values.new_empty((n_rows, width))
        arrays = [array_of(t) for t in (logits, bias, values, offsets)]

        def work(_part: int, begin: int, end: int) -> None:
            lines = arrays[3][begin : end + 1]
            out = array_of(gathered)[begin:end]
            kernels.attend_forward(*arrays[:3], lines, array_of(attention), out)

        for_each_part(parts_of(n_rows, values.numel() // n_rows), work)
        ctx.mark_non_differentiable(attention)
        ctx.save_for_backward(attention, values, offsets)
        return gathered, attention

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, _attention: Tensor
    ) -> tuple[Tensor | None, ...]:
        from sitenet_core.models.sitenet.fused import kernels

        attention, values, offsets = ctx.saved_tensors
        grad = grad.contiguous()
        to_logits, to_values = torch.empty_like(attention), torch.empty_like(values)
        arrays = [array_of(t) for t in (attention, values, to_logits, to_values)]

        def work(_part: int, begin: int, end: int) -> None:
            lines = array_of(offsets)[begin : end + 1]
            ours, theirs = arrays[:2], arrays[2:]
            kernels.attend_backward(array_of(grad)[begin:end], *ours, lines, *theirs)

        for_each_part(parts_of(len(grad), values.numel() // len(grad)), work)
        return to_logits, None, to_values, None
