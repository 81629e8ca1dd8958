"""Kernels of a layer unit with batch norm: sums over rows, and the norm itself."""

import numpy as np

from sitenet_core.models.sitenet.fused.kernel_math import (
    TWO,
    ZERO,
    F,
    kernel,
    mish,
    mish_and_slope,
)


@kernel
def moments_forward(rows: np.ndarray, weight: np.ndarray, sums: np.ndarray) -> None:
    """Add Σ w m and Σ w m², m = mish(rows), of each column to `sums` (2, width)."""
    for p in range(rows.shape[0]):
        row, w = rows[p], weight[p]
        for k in range(sums.shape[1]):
            m = mish(row[k])
            sums[0, k] += w * m
            sums[1, k] += w * m * m


@kernel
def moments_backward(
    grad_sums: np.ndarray, rows: np.ndarray, weight: np.ndarray, grad_rows: np.ndarray
) -> None:
    """Add the gradient of `moments_forward` to `grad_rows`."""
    width = grad_sums.shape[1]
    first = grad_sums[0].astype(np.float32)
    second = grad_sums[1].astype(np.float32)
    for p in range(rows.shape[0]):
        row, result, w = rows[p], grad_rows[p], weight[p]
        for k in range(width):
            m, slope = mish_and_slope(row[k])
            result[k] += w * (first[k] + TWO * m * second[k]) * slope


@kernel
def affine_forward(
    rows: np.ndarray, scale: np.ndarray, shift: np.ndarray, out: np.ndarray
) -> None:
    """Write mish(rows)·scale + shift to `out`."""
    for p in range(rows.shape[0]):
        row, result = rows[p], out[p]
        for k in range(scale.shape[0]):
            result[k] = mish(row[k]) * scale[k] + shift[k]


@kernel
def affine_backward(
    grad: np.ndarray,
    rows: np.ndarray,
    scale: np.ndarray,
    grad_rows: np.ndarray,
    grad_scale: np.ndarray,
    grad_shift: np.ndarray,
) -> None:
    """Write the gradient of `affine_forward`; add to those of scale and shift."""
    width = scale.shape[0]
    for p in range(rows.shape[0]):
        row, g, result = rows[p], grad[p], grad_rows[p]
        for k in range(width, grad_rows.shape[1]):
            result[k] = ZERO
        for k in range(width):
            m, slope = mish_and_slope(row[k])
            grad_scale[k] += F(g[k] * m)
            grad_shift[k] += g[k]
            result[k] = g[k] * scale[k] * slope
