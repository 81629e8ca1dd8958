"""The fused kernels of the work on pairs, in float32, compiled by numba.

They work on plain arrays and are called by the modules beside this one, which explain
their gradients. A pair's row of a few hundred numbers stays in the first cache from the
sum to the norm, and no intermediate row is written to memory: that is where the speed
comes from.

NaN and infinity pass through: the compiler may reorder and contract sums, but may not
assume that numbers are finite.

Everything that is compiled stands in this one file: numba keeps compiled code until the
file that holds the kernel changes, and would not notice a change of a function that is
inlined from another.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions

_MATH = {"contract", "reassoc", "arcp", "nsz", "afn"}

# What a kernel writes never overlaps what else it is given. The compiler must know: it
# would otherwise look in every row whether two arrays lie close together, and take
# another way to add up where they do, so that the last bit of a sum would depend on
# where memory happened to be free. numba has this option for its own loops only.
CPUTargetOptions.noalias = TargetOptions.Mapping("noalias")


def compiled(function: Callable[..., Any], *, cache: bool) -> Callable[..., Any]:
    """Return `function` as a kernel that releases the interpreter's lock."""
    result: Callable[..., Any] = njit(
        fastmath=_MATH, nogil=True, error_model="numpy", noalias=True, cache=cache
    )(function)
    return result


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` when it is first called, or take its code from the cache."""
    try:
        return compiled(function, cache=True)
    except RuntimeError:
        # numba found no folder it may write to: each process compiles for itself.
        return compiled(function, cache=False)


inline = njit(fastmath=_MATH, inline="always", error_model="numpy")

F = np.float32
_LOG2_E = F(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = F(0.693359375), F(-2.12194440e-4)
_C5, _C4, _C3 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
_C2, _C1, _C0 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
LOWEST, _HIGHEST = F(-87.0), F(20.0)
ZERO, ONE, TWO, FOUR = F(0.0), F(1.0), F(2.0), F(4.0)
EPSILON = F(1e-5)


@inline
def exp(x: np.float32) -> np.float32:
    """Return e^x for x in [-87, 88], to 2 units in the last place.

    x = k ln 2 + r; e^r by the polynomial of the Cephes library, 2^k from its bits.
    Written out because a call to a library would keep the loops from being vectorised.
    """
    x = max(x, LOWEST)
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
    return (p * r * r + r + ONE) * power.view(np.float32)


@inline
def mish(x: np.float32) -> np.float32:
    """Return x·t/(t + 2) with t = e(e + 2), e = exp(x)."""
    e = exp(min(x, _HIGHEST))
    t = e * (e + TWO)
    return x * (t / (t + TWO))


@inline
def mish_and_slope(x: np.float32) -> tuple[np.float32, np.float32]:
    """Return mish and its derivative."""
    e = exp(min(x, _HIGHEST))
    t = e * (e + TWO)
    d = ONE / (t + TWO)
    ratio = t * d
    return x * ratio, ratio + FOUR * x * e * (e + ONE) * d * d


@inline
def activated(row: np.ndarray, active: np.ndarray) -> tuple[np.float32, np.float32]:
    """Write mish(row) to `active`; return its mean and 1/deviation."""
    width = active.shape[0]
    share = ONE / F(width)
    total = ZERO
    for k in range(width):
        active[k] = mish(row[k])
        total += active[k]
    centre = total * share
    squares = ZERO
    for k in range(width):
        difference = active[k] - centre
        squares += difference * difference
    return centre, ONE / np.sqrt(squares * share + EPSILON)


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
    active = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row, result = rows[p], out[p]
        centre, factor = activated(row, active)
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
    active = np.empty(width, np.float32)
    for p in range(rows.shape[0]):
        row = rows[p]
        centre, factor = activated(row, active)
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


@kernel
def moments_forward(rows: np.ndarray, weight: np.ndarray, sums: np.ndarray) -> None:
    """Add Σ w m and Σ w m², m = mish(rows), of each column to `sums` (2, width)."""
    for p in range(rows.shape[0]):
        row, w = rows[p], np.float64(weight[p])
        for k in range(sums.shape[1]):
            m = np.float64(mish(row[k]))
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
