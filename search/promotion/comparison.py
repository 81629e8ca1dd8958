"""Means of several trials over the same seeds and folds, and what tells them apart.

All candidates are trained with the same seeds (and folds), so that their values are
paired: what a seed or a fold does to all of them cancels in a difference. The model is
that of randomised blocks, y_cj = μ_c + β_j + ε_cj, with one variance of ε for all
candidates. It is estimated from all of them together, with (K−1)(J−1) degrees of
freedom for K candidates and J pairs, because a paired t-interval of two candidates
alone has one degree of freedom for two seeds and is useless (t = 12.7). For K = 2 it is
that interval.

A candidate whose variance is outlying (`search.promotion.outlying`) takes no part in
that estimate; its mean is compared like any other. The one with the lowest mean always
takes part: nothing is to be called best for certain by values that disagree.

With seeds alone the interval is about new seeds on the same split. Over folds, the
trainings of a candidate share most of their crystals, and the variance of a mean does
not fall as 1/J. It is corrected to 1/J + n_validation/n_train: C. Nadeau and Y. Bengio,
*Inference for the Generalization Error*, Machine Learning 52 (2003) 239, Section 3.2;
R. Bouckaert and E. Frank, PAKDD 2004, for repeated folds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.promotion.outlying import outlying_variances, sum_of_squares

LEVEL = 0.95
"""Of every interval: of one difference, not of all of them together."""


@dataclass(frozen=True)
class Comparison:
    """What the values of K candidates over J pairs say; errors, so less is better."""

    means: NDArray[np.float64]
    """(K,) in the unit of the values."""
    noise: float | None
    """Standard deviation of one training about its candidate's mean, what a seed or
    fold does to all candidates taken away; None if it cannot be estimated."""
    half_width: float | None
    """Of the interval of each difference of two means; None as `noise`."""
    standard_error: float | None
    """Of each candidate's own mean, seeds and folds included; None for one pair."""
    outlying: NDArray[np.bool_]
    """(K,) whose variance is far above the others'. But for the lowest mean, they are
    in none of the three above."""

    @property
    def lowest(self) -> int:
        """Index of the candidate with the lowest mean; the first of equals."""
        return int(np.argmin(self.means))

    def worse(self) -> NDArray[np.bool_]:
        """Return (K,) whether the interval of the difference to the lowest is above 0.

        Without an interval nothing can be told from the lowest.
        """
        if self.half_width is None:
            return np.zeros(len(self.means), dtype=bool)
        return np.asarray(self.means - self.means.min() > self.half_width)


def compare(values: NDArray[np.float64], overlap: float = 0.0) -> Comparison:
    """Return how the candidates compare.

    Args:
        values: (K, J) one row per candidate, one column per seed (and fold).
        overlap: n_validation/n_train where the columns share training crystals across
            folds; 0 for seeds alone.
    """
    n_pairs = values.shape[1]
    means = values.mean(axis=1)
    outlying = outlying_variances(values)
    pooled = values[~outlying | (np.arange(len(means)) == means.argmin())]
    share = 1 / n_pairs + overlap
    degrees = (len(pooled) - 1) * (n_pairs - 1)
    noise = half_width = None
    if degrees > 0:
        noise = math.sqrt(float(sum_of_squares(pooled)) / degrees)
        half_width = _quantile(degrees) * noise * math.sqrt(2 * share)
    error = None
    if n_pairs > 1:
        variance = float(pooled.var(axis=1, ddof=1).mean())
        error = math.sqrt(variance * share)
    return Comparison(means, noise, half_width, error, outlying)


def _quantile(degrees: int) -> float:
    """Return the quantile of Student's t for a two-sided interval of LEVEL."""
    # Imported here: choosing without reruns needs no distribution.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
