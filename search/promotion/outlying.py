"""Candidates whose reruns disagree far more than the others' do.

One rerun that diverges makes the variance of its candidate enormous, and a variance for
all candidates with it. It is found as laboratories are that repeat a measurement badly,
by Cochran's C test: the largest share of one variance in the sum of all. W. Cochran,
Annals of Eugenics 11 (1941) 47; ISO 5725-2:1994, Section 7.3.3, where an outlier is one
at 1 %. The critical value comes from the quantile of F at level/K: R. 't Lam, Analytica
Chimica Acta 659 (2010) 68.

What a column does to all candidates is taken away by least squares, as in the intervals
(`search.promotion.comparison`). A candidate's share is then by how much the sum of
squares S falls when it is deleted and the columns' effects are estimated anew, to S'.
Under equal variances (S − S')/(J−1) over S'/((K−2)(J−1)) has the distribution of F
exactly, since deleting values of a linear model leaves independent sums; and what a
diverged rerun did to the columns is not in S'. (About the columns' medians it would be
little too, but such residuals are no longer like χ²: at 1 %, three candidates of equal
variance were found to differ in 13 of 100 simulations.)
"""

import numpy as np
from numpy.typing import NDArray

OUTLIER_LEVEL = 0.01
"""How often one of equal candidates is called outlying. At 5 % the intervals of 95 %
would hold the true difference of three candidates with two seeds in 92 %."""
_ROUNDING = 1e-12
"""Of the largest value: residuals below it are no noise."""


def outlying_variances(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (K,) whether a candidate's variance is outlying.

    The most suspicious candidate is deleted, then the next, as long as most stay; those
    are outlying that went before or at the last significant step. So two that diverge
    cannot hide each other, as they do if the first insignificant step is the last
    (B. Rosner, Technometrics 25 (1983) 165). The level is divided among the steps.

    None is outlying among fewer than three, with one column, or where the others agree
    to the last digit: nothing tells how much they should disagree.

    Args:
        values: (K, J) as in `compare`.
    """
    n_candidates, n_pairs = values.shape
    staying = np.arange(n_candidates)
    steps = (n_candidates - 1) // 2
    taken: list[int] = []
    n_outlying = 0
    while n_pairs > 1 and len(taken) < steps:
        without = _sums_without_each(values[staying])
        worst = int(without.argmin())
        critical = _critical_share(len(staying), n_pairs, OUTLIER_LEVEL / steps)
        most = (1 - critical) * sum_of_squares(values[staying])
        taken.append(int(staying[worst]))
        staying = np.delete(staying, worst)
        least = (_ROUNDING * np.abs(values[staying]).max()) ** 2
        if least < without[worst] < most:
            n_outlying = len(taken)
    return np.isin(np.arange(n_candidates), taken[:n_outlying])


def sum_of_squares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (…) the residuals of (…, K, J) values about rows and columns, squared."""
    rows, columns = (values.mean(axis=axis, keepdims=True) for axis in (-1, -2))
    residuals = values - rows - columns + rows.mean(axis=-2, keepdims=True)
    return np.asarray((residuals**2).sum(axis=(-2, -1)))


def _sums_without_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K,) the sum of squares without each candidate.

    Each from what is left, not as a difference: a huge value's digits would be missing.
    """
    others = [np.delete(values, c, axis=0) for c in range(len(values))]
    return sum_of_squares(np.stack(others))


def _critical_share(n_candidates: int, n_pairs: int, level: float) -> float:
    """Return the share of S above which the largest of K shares is significant."""
    from scipy.special import fdtri

    degrees = n_pairs - 1
    quantile = fdtri(degrees, (n_candidates - 2) * degrees, 1 - level / n_candidates)
    return float(1 / (1 + (n_candidates - 2) / quantile))
