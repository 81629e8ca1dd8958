"""Kernels of a layer unit: sums over bonds, mish, layer norm."""

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
def add_site_parts(
    rows: np.ndarray,
    own: np.ndarray,
    partner: np.ndarray,
    pair_site: np.ndarray,
    pair_partner: np.ndarray,
) -> None:
    """Add own[i] and partner[j] to the row of each pair, in place."""
    width = own.shape[1]
    for p in range(rows.shape[0]):
        row, a, b = rows[p], own[pair_site[p]], partner[pair_partner[p]]
        for k in range(width):
            row[k] += a[k] + b[k]


@kernel
def mish_forward(rows: np.ndarray, out: np.ndarray) -> None:
    """Write mish of `rows` to `out`, which may have fewer columns."""
    width = out.shape[1]
    for p in range(rows.shape[0]):
        row, result = rows[p], out[p]
        for k in range(width):
            result[k] = mish(row[k])


@kernel
def mish_backward(grad: np.ndarray, rows: np.ndarray, grad_rows: np.ndarray) -> None:
    """Write the gradient of `mish_forward`; columns that it did not read get 0."""
    width = grad.shape[1]
    for p in range(rows.shape[0]):
        row, g, result = rows[p], grad[p], grad_rows[p]
        for k in range(width, grad_rows.shape[1]):
            result[k] = ZERO
        for k in range(width):
            result[k] = g[k] * mish_and_slope(row[k])[1]


@kernel
def mish_norm_forward(
    rows: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    out: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
) -> None:
    """Write layer_norm(mish(rows)) to `out`, and each row's mean and 1/deviation."""
    width = out.shape[1]
    share = ONE / F(width)
    active = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row, result = rows[p], out[p]
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
            result[k] = (active[k] - centre) * factor * scale[k] + shift[k]


@kernel
def mish_norm_backward(
    grad: np.ndarray,
    rows: np.ndarray,
    scale: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    grad_rows: np.ndarray,
    grad_scale: np.ndarray,
    grad_shift: np.ndarray,
) -> None:
    """Write the gradient of `mish_norm_forward`; add to those of scale and shift.

    With h = (m - mean)/deviation of m = mish(x) and g = scale·grad, the gradient of m
    is (g - mean(g) - h mean(g h))/deviation; mish is computed again from x.
    """
    width = grad.shape[1]
    share = ONE / F(width)
    normal = np.empty(width, np.float32)
    slope = np.empty(width, np.float32)
    scaled = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row, g, result = rows[p], grad[p], grad_rows[p]
        for k in range(width, grad_rows.shape[1]):
            result[k] = ZERO
        centre, factor = mean[p], inverse[p]
        total, along = ZERO, ZERO
        for k in range(width):
            value, slope[k] = mish_and_slope(row[k])
            h = (value - centre) * factor
            normal[k] = h
            grad_scale[k] += g[k] * h
            grad_shift[k] += g[k]
            s = g[k] * scale[k]
            scaled[k] = s
            total += s
            along += s * h
        total *= share
        along *= share
        for k in range(width):
            difference = scaled[k] - total - normal[k] * along
            result[k] = factor * difference * slope[k]


@kernel
def add_to_sites(
    grad_rows: np.ndarray,
    pair_site: np.ndarray,
    pair_partner: np.ndarray,
    grad_own: np.ndarray,
    grad_partner: np.ndarray,
) -> None:
    """Add each pair's row to the rows of its site and of its partner."""
    width = grad_own.shape[1]
    for p in range(grad_rows.shape[0]):
        row = grad_rows[p]
        a, b = grad_own[pair_site[p]], grad_partner[pair_partner[p]]
        for k in range(width):
            a[k] += row[k]
            b[k] += row[k]
