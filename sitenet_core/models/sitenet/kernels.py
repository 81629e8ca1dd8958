"""Fused kernels of the pair part for a CPU in float32, compiled by numba.

They work on plain arrays and are called by `fused`, which is where their gradients and
shapes are explained. A pair's row of a few hundred numbers stays in the first cache
from the sum to the norm, and no intermediate row is written to memory: that is where
the speed comes from.

NaN and infinity pass through: the compiler may reorder and contract sums, but may not
assume that numbers are finite.
"""

import numpy as np
from numba import njit

_MATH = {"contract", "reassoc", "arcp", "nsz", "afn"}
_kernel = njit(fastmath=_MATH, nogil=True, error_model="numpy", cache=True)
_inline = njit(fastmath=_MATH, inline="always", error_model="numpy", cache=True)

_F = np.float32
_LOG2_E = _F(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
_C5, _C4, _C3 = _F(1.9875691500e-4), _F(1.3981999507e-3), _F(8.3334519073e-3)
_C2, _C1, _C0 = _F(4.1665795894e-2), _F(1.6666665459e-1), _F(5.0000001201e-1)
_LOWEST, _HIGHEST = _F(-87.0), _F(20.0)
_ZERO, _ONE, _TWO, _FOUR = _F(0.0), _F(1.0), _F(2.0), _F(4.0)
_EPSILON = _F(1e-5)


@_inline
def _exp(x: np.float32) -> np.float32:
    """Return e^x for x in [-87, 88], to 2 units in the last place.

    x = k ln 2 + r; e^r by the polynomial of the Cephes library, 2^k from its bits.
    Written out because a call to a library would keep the loops from being vectorised.
    """
    x = max(x, _LOWEST)
    k = np.rint(x * _LOG2_E)
    r = x - k * _LN2_HIGH
    r = r - k * _LN2_LOW
    p = _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r + _C1
    p = p * r + _C0
    power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))
    return (p * r * r + r + _ONE) * power.view(np.float32)


@_kernel
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


@_kernel
def mish_forward(rows: np.ndarray, out: np.ndarray) -> None:
    """Write mish of `rows` to `out`, which may have fewer columns."""
    width = out.shape[1]
    for p in range(rows.shape[0]):
        row, result = rows[p], out[p]
        for k in range(width):
            e = _exp(min(row[k], _HIGHEST))
            t = e * (e + _TWO)
            result[k] = row[k] * (t / (t + _TWO))


@_kernel
def mish_backward(grad: np.ndarray, rows: np.ndarray, grad_rows: np.ndarray) -> None:
    """Write the gradient of `mish_forward`; columns that it did not read get 0."""
    width = grad.shape[1]
    for p in range(rows.shape[0]):
        row, g, result = rows[p], grad[p], grad_rows[p]
        for k in range(width, grad_rows.shape[1]):
            result[k] = _ZERO
        for k in range(width):
            e = _exp(min(row[k], _HIGHEST))
            t = e * (e + _TWO)
            d = _ONE / (t + _TWO)
            result[k] = g[k] * (t * d + _FOUR * row[k] * e * (e + _ONE) * d * d)


@_kernel
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
    share = _ONE / _F(width)
    active = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row, result = rows[p], out[p]
        total = _ZERO
        for k in range(width):
            e = _exp(min(row[k], _HIGHEST))
            t = e * (e + _TWO)
            value = row[k] * (t / (t + _TWO))
            active[k] = value
            total += value
        centre = total * share
        squares = _ZERO
        for k in range(width):
            difference = active[k] - centre
            squares += difference * difference
        factor = _ONE / np.sqrt(squares * share + _EPSILON)
        mean[p], inverse[p] = centre, factor
        for k in range(width):
            result[k] = (active[k] - centre) * factor * scale[k] + shift[k]


@_kernel
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
    share = _ONE / _F(width)
    normal = np.empty(width, np.float32)
    slope = np.empty(width, np.float32)
    scaled = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row, g, result = rows[p], grad[p], grad_rows[p]
        for k in range(width, grad_rows.shape[1]):
            result[k] = _ZERO
        centre, factor = mean[p], inverse[p]
        total, along = _ZERO, _ZERO
        for k in range(width):
            x = row[k]
            e = _exp(min(x, _HIGHEST))
            t = e * (e + _TWO)
            d = _ONE / (t + _TWO)
            ratio = t * d
            slope[k] = ratio + _FOUR * x * e * (e + _ONE) * d * d
            h = (x * ratio - centre) * factor
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


@_kernel
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


@_kernel
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
            highest = _F(-np.inf)
            for p in range(begin, end):
                highest = max(highest, logits[p, h] + bias[p])
            total = 0.0
            for p in range(begin, end):
                z = logits[p, h] + bias[p] - highest
                # Not `z > lowest`: NaN must reach the sum.
                weight = _ZERO if z < _LOWEST else _exp(z)
                attention[p, h] = weight
                total += float(weight)
            share = _F(1.0 / total)
            for p in range(begin, end):
                attention[p, h] *= share
        sums[:] = _ZERO
        for p in range(begin, end):
            row = values[p]
            for h in range(heads):
                weight, target = attention[p, h], sums[h]
                for k in range(width):
                    target[k] += weight * row[k]
        for h in range(heads):
            for k in range(width):
                gathered[i, k * heads + h] = sums[h, k]


@_kernel
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
                result[k] = _ZERO
            for h in range(heads):
                weight, g = attention[p, h], ours[h]
                product = _ZERO
                for k in range(width):
                    result[k] += weight * g[k]
                    product += row[k] * g[k]
                grad_logits[p, h] = product
                along[h] += product * weight
        for p in range(begin, end):
            for h in range(heads):
                difference = grad_logits[p, h] - _F(along[h])
                grad_logits[p, h] = attention[p, h] * difference
