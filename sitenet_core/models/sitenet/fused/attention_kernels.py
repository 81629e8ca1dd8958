"""Kernels of the softmax over rows and the weighted sums."""

import numpy as np

from sitenet_core.models.sitenet.fused.kernel_math import LOWEST, ZERO, F, exp, kernel


@kernel
def attend_forward(
    logits: np.ndarray,
    bias: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    attention: np.ndarray,
    gathered: np.ndarray,
) -> None:
    """Write the softmax over each site's row, and the sums Σ_j a_ij[h] A_ij[e].

    `offsets` (n + 1,) says where the rows of the n sites begin. A bias of -inf gives
    the weight 0 exactly.
    """
    heads, width = logits.shape[1], values.shape[1]
    sums = np.empty((heads, width), np.float32)
    for i in range(offsets.shape[0] - 1):
        begin, end = offsets[i], offsets[i + 1]
        for h in range(heads):
            highest = F(-np.inf)
            for p in range(begin, end):
                highest = max(highest, logits[p, h] + bias[p])
            total = 0.0
            for p in range(begin, end):
                z = logits[p, h] + bias[p] - highest
                # Not `z > lowest`: NaN must reach the sum.
                weight = ZERO if z < LOWEST else exp(z)
                attention[p, h] = weight
                total += float(weight)
            share = F(1.0 / total)
            for p in range(begin, end):
                attention[p, h] *= share
        sums[:] = ZERO
        for p in range(begin, end):
            row = values[p]
            for h in range(heads):
                weight, target = attention[p, h], sums[h]
                for k in range(width):
                    target[k] += weight * row[k]
        for h in range(heads):
            for k in range(width):
                gathered[i, k * heads + h] = sums[h, k]


@kernel
def attend_backward(
    grad: np.ndarray,
    attention: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    grad_logits: np.ndarray,
    grad_values: np.ndarray,
) -> None:
    """Write the gradients of `attend_forward` with respect to logits and values."""
    heads, width = attention.shape[1], values.shape[1]
    ours = np.empty((heads, width), np.float32)
    along = np.empty(heads, np.float64)
    for i in range(offsets.shape[0] - 1):
        begin, end = offsets[i], offsets[i + 1]
        for h in range(heads):
            along[h] = 0.0
            for k in range(width):
                ours[h, k] = grad[i, k * heads + h]
        for p in range(begin, end):
            row, result = values[p], grad_values[p]
            for k in range(width):
                result[k] = ZERO
            for h in range(heads):
                weight, g = attention[p, h], ours[h]
                product = ZERO
                for k in range(width):
                    result[k] += weight * g[k]
                    product += row[k] * g[k]
                grad_logits[p, h] = product
                along[h] += product * weight
        for p in range(begin, end):
            for h in range(heads):
                difference = grad_logits[p, h] - F(along[h])
                grad_logits[p, h] = attention[p, h] * difference
