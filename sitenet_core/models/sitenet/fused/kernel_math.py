"""Arithmetic of the fused kernels: single numbers, in float32, compiled by numba.

The kernels work on plain arrays and are called by the modules beside this one, which
explain their gradients. A pair's row of a few hundred numbers stays in the first
cache from the sum to the norm, and no intermediate row is written to memory: that is
where the speed comes from.

NaN and infinity pass through: the compiler may reorder and contract sums, but may not
assume that numbers are finite.
"""

import numpy as np
from numba import njit

_MATH = {"contract", "reassoc", "arcp", "nsz", "afn"}
kernel = njit(fastmath=_MATH, nogil=True, error_model="numpy", cache=True)
inline = njit(fastmath=_MATH, inline="always", error_model="numpy", cache=True)

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
