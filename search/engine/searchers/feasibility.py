"""Where trainings break: a probability learned from the trials that failed.

The labels +1 (failed) and −1 (has a value) are regressed on by a Gaussian process
(Rasmussen and Williams 2006, Section 6.5); expected improvement is multiplied by the
probability of success (Gardner et al., *Bayesian Optimization with Inequality
Constraints*, ICML 2014, Equation 7).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from search.engine.searchers.gaussian_process import (
    GaussianProcess,
    fit_hyperparameters,
)
from search.engine.searchers.units import FloatArray

_SOFTNESS = 0.1
"""Variance added to the label: how blurred the border of a failing region is."""


@dataclass(frozen=True)
class Feasibility:
    """The logarithm of the probability that a training succeeds."""

    process: GaussianProcess
    mean_label: float

    def log_probability(self, features: FloatArray) -> FloatArray:
        """Return it for each row of `features`, (m,)."""
        mean, variance = self.process.predict(features)
        label = mean + self.mean_label
        return np.asarray(log_ndtr(-label / np.sqrt(variance + _SOFTNESS)))


def feasibility_of(
    succeeded: FloatArray, failed: FloatArray, owners: npt.NDArray[np.intp]
) -> Feasibility | None:
    """Return the model of failures, None as long as nothing failed.

    Args:
        succeeded: (n, n_features) trials with a value.
        failed: (m, n_features) trials that are to blame for their failure.
        owners: see `UnitSpace.owners`.
    """
    if not len(failed):
        return None
    features = np.concatenate((succeeded, failed))
    labels = np.repeat([-1.0, 1.0], [len(succeeded), len(failed)])
    mean = float(labels.mean())
    hyper = fit_hyperparameters(features, owners, labels - mean)
    process = GaussianProcess(
        features,
        np.exp(hyper.log_lengths)[owners],
        float(np.exp(hyper.log_noise)),
        labels - mean,
        np.empty((0, features.shape[1])),
    )
    return Feasibility(process, mean)
