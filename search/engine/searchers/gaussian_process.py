"""Gaussian-process regression in a few lines of numpy, sized for a proposal.

Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006: Algorithm 2.1
for the posterior, Equation 5.9 for the gradient of the marginal likelihood. The kernel
is Matérn 5/2 with one length per parameter. The variance of the signal is profiled out,
so that a length per parameter and the share of noise remain; they are the maximum of
the posterior under log-normal priors whose lengths grow with the root of the dimension
(Hvarfner et al., *Vanilla Bayesian Optimization Performs Great in High Dimensions*,
ICML 2024, arXiv:2402.02229).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.optimize import minimize

from search.engine.searchers.units import FloatArray

_JITTER = 1e-8
_LENGTH_AT_4 = 0.5
"""Middle of the prior of a length in a space of four parameters."""
_LENGTH_SPREAD = 0.7
_LOG_NOISE, _LOG_NOISE_SPREAD = -4.5, 1.5
_ITERATIONS = 12
_FITTED = 50
"""Values that hyperparameters are learned on, since every step is cubic in them."""
_SQRT5 = math.sqrt(5)


@dataclass(frozen=True)
class Hyperparameters:
    """What is learned of a kernel."""

    log_lengths: FloatArray
    """(n_parameters,)."""
    log_noise: float
    """Logarithm of the variance of the noise over that of the signal."""


def prior_hyperparameters(n_parameters: int) -> Hyperparameters:
    """Return the middle of the prior."""
    length = math.log(_LENGTH_AT_4) + 0.5 * math.log(n_parameters / 4)
    return Hyperparameters(np.full(n_parameters, length), _LOG_NOISE)


def fit_hyperparameters(
    features: FloatArray, owners: npt.NDArray[np.intp], values: FloatArray
) -> Hyperparameters:
    """Return the most likely hyperparameters.

    Args:
        features: (n, n_features).
        owners: (n_features,) parameter that each feature belongs to.
        values: (n,) about zero on average and of unit variance, smaller is better.
            Of more than 50, the 25 smallest and 25 spread over the others are used.
    """
    kept = _thinned(values)
    features, values = features[kept], values[kept]
    prior = prior_hyperparameters(int(owners[-1]) + 1)
    likelihood = _Likelihood(features, owners, values, prior)
    lengths = len(prior.log_lengths)
    found = minimize(
        likelihood,
        np.append(prior.log_lengths, prior.log_noise),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-3, 3)] * lengths + [(-9, 0)],
        options={"maxiter": _ITERATIONS, "maxfun": _ITERATIONS + 5},
    ).x
    return Hyperparameters(found[:-1], float(found[-1]))


def _thinned(values: FloatArray) -> npt.NDArray[np.intp]:
    """Return at most `_FITTED` indices: the smallest values, the others spread out."""
    order = np.argsort(values, kind="stable")
    half = _FITTED // 2
    if len(order) <= _FITTED:
        return np.arange(len(order))
    spread = np.linspace(half, len(order) - 1, _FITTED - half).astype(np.intp)
    return np.concatenate((order[:half], order[spread]))


class _Likelihood:
    """Negative logarithm of the posterior of hyperparameters, and its gradient."""

    def __init__(
        self,
        features: FloatArray,
        owners: npt.NDArray[np.intp],
        values: FloatArray,
        prior: Hyperparameters,
    ) -> None:
        n = len(values)
        squares = (features[:, None, :] - features[None]) ** 2
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        per_parameter = np.add.reduceat(squares, starts, axis=2)
        self._distances = np.ascontiguousarray(per_parameter.reshape(n * n, -1))
        self._values = values
        self._prior = prior

    def __call__(self, point: FloatArray) -> tuple[float, FloatArray]:
        n, values = len(self._values), self._values
        log_lengths, noise = point[:-1], math.exp(point[-1])
        weights = np.exp(-2 * log_lengths)
        squared = self._distances @ weights
        scaled = np.sqrt(5 * squared)
        decay = np.exp(-scaled)
        kernel = ((1 + scaled + 5 / 3 * squared) * decay).reshape(n, n)
        kernel.flat[:: n + 1] += noise + _JITTER
        lower, fault = dpotrf(kernel, lower=1)
        if fault:
            return 1e10, np.zeros_like(point)
        half = np.tril(dpotri(lower, lower=1)[0])
        inverse = half + half.T
        inverse.flat[:: n + 1] *= 0.5
        solved = dpotrs(lower, values, lower=1)[0]
        variance = (values @ solved + 1) / (n + 1)
        # Of the likelihood with respect to the kernel, doubled.
        by_kernel = inverse - np.outer(solved, solved) / variance
        by_distance = (5 / 3 * (1 + scaled) * decay) * by_kernel.reshape(-1)
        gradient = np.empty_like(point)
        gradient[:-1] = 0.5 * (by_distance @ self._distances) * weights
        gradient[-1] = 0.5 * by_kernel.trace() * noise
        apart = (log_lengths - self._prior.log_lengths) / _LENGTH_SPREAD
        noisier = (point[-1] - self._prior.log_noise) / _LOG_NOISE_SPREAD
        gradient[:-1] += apart / _LENGTH_SPREAD
        gradient[-1] += noisier / _LOG_NOISE_SPREAD
        fit = 0.5 * (n + 1) * math.log(variance) + np.log(lower.diagonal()).sum()
        return float(fit + 0.5 * (apart @ apart + noisier**2)), gradient


@dataclass(frozen=True)
class GaussianProcess:
    """A posterior over functions, given values at some points."""

    points: FloatArray
    """(n, n_features)."""
    lengths: FloatArray
    """(n_features,)."""
    noise: float
    values: FloatArray
    """(n,)."""
    pending: FloatArray
    """(n_pending, n_features) points whose value will be known: they take away
    uncertainty and leave the mean alone, as if each met its prediction."""

    def mean(self, points: FloatArray) -> FloatArray:
        """Return the expected values at `points`, (m,)."""
        return np.asarray(matern(points, self.points, self.lengths) @ self._solved)

    def predict(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of the function at `points`, (m,) each."""
        known = np.concatenate((self.points, self.pending))
        kernel = matern(points, known, self.lengths)
        mean = kernel[:, : len(self.points)] @ self._solved
        lower = self._lower_with_pending
        reduced = dtrtrs(lower, kernel.T, lower=1)[0]
        left = np.maximum(1 - (reduced * reduced).sum(axis=0), 1e-9)
        return mean, left * self._variance

    @cached_property
    def _lower(self) -> FloatArray:
        return self._factor(self.points)

    @cached_property
    def _lower_with_pending(self) -> FloatArray:
        if not len(self.pending):
            return self._lower
        return self._factor(np.concatenate((self.points, self.pending)))

    @cached_property
    def _solved(self) -> FloatArray:
        return np.asarray(dpotrs(self._lower, self.values, lower=1)[0])

    @cached_property
    def _variance(self) -> float:
        n = len(self.values)
        return float((self.values @ self._solved + 1) / (n + 1))

    def _factor(self, points: FloatArray) -> FloatArray:
        kernel = matern(points, points, self.lengths)
        kernel.flat[:: len(points) + 1] += self.noise + _JITTER
        return np.asarray(dpotrf(kernel, lower=1)[0])


def matern(left: FloatArray, right: FloatArray, lengths: FloatArray) -> FloatArray:
    """Return the Matérn 5/2 kernel of two sets of points, (n_left, n_right)."""
    a, b = left / lengths, right / lengths
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    scaled = _SQRT5 * np.sqrt(np.maximum(squares, 0))
    return np.asarray((1 + scaled + scaled * scaled / 3) * np.exp(-scaled))
