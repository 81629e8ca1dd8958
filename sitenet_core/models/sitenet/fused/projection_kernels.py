"""Kernels of a layer unit and the linear layer behind it, which has few results."""

import numpy as np

from sitenet_core.models.sitenet.fused.kernel_math import (
    EPSILON,
    ONE,
    ZERO,
    F,
    kernel,
    mish,
    mish_and_slope,
)


@kernel
def projected_forward(
    rows: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    out: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
) -> None:
    """Write weight · layer_norm(mish(rows)) + bias to `out`, without writing the rows.

    `weight` is (n_out, width), few rows.
    """
    width = scale.shape[0]
    share = ONE / F(width)
    active = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row = rows[p]
        total = ZERO
        for k in range(width):
            active[k] = mish(row[k])
            total += active[k]
        centre = total * share
        squares = ZERO
        for k in range(width):
            difference = active[k] - centre
            squares += difference * difference
        factor = ONE / np.sqrt(squares * share + EPSILON)
        mean[p], inverse[p] = centre, factor
        for k in range(width):
            active[k] = (active[k] - centre) * factor * scale[k] + shift[k]
        for h in range(weight.shape[0]):
            line = weight[h]
            product = ZERO
            for k in range(width):
                product += line[k] * active[k]
            out[p, h] = product + bias[h]


@kernel
def projected_backward(
    grad: np.ndarray,
    rows: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    weight: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    grad_rows: np.ndarray,
    grad_scale: np.ndarray,
    grad_shift: np.ndarray,
    grad_weight: np.ndarray,
) -> None:
    """Write the gradient of `projected_forward`; add to those of what is learned."""
    width = scale.shape[0]
    share = ONE / F(width)
    normal = np.empty(width, np.float32)
    slope = np.empty(width, np.float32)
    came = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row, result = rows[p], grad_rows[p]
        for k in range(width, grad_rows.shape[1]):
            result[k] = ZERO
        centre, factor = mean[p], inverse[p]
        for k in range(width):
            came[k] = ZERO
            value, slope[k] = mish_and_slope(row[k])
            normal[k] = (value - centre) * factor
        for h in range(weight.shape[0]):
            line, sums, g = weight[h], grad_weight[h], grad[p, h]
            for k in range(width):
                came[k] += g * line[k]
                sums[k] += g * (normal[k] * scale[k] + shift[k])
        total, along = ZERO, ZERO
        for k in range(width):
            grad_scale[k] += came[k] * normal[k]
            grad_shift[k] += came[k]
            s = came[k] * scale[k]
            came[k] = s
            total += s
            along += s * normal[k]
        total *= share
        along *= share
        for k in range(width):
            difference = came[k] - total - normal[k] * along
            result[k] = factor * difference * slope[k]
