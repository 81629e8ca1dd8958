"""A model of the deepest rung that also learns from every rung above it.

Values of different rungs are never mixed. Each rung has a model of its own, and each
deeper one models what is left of its values after the best multiple of the prediction
for the rung before (Kennedy and O'Hagan, *Predicting the output from a complex computer
code when fast approximations are available*, Biometrika 87, 2000, Equation 1). Where a
rung holds hundreds of trials and the next a handful, the handful decides how far the
rung before can be trusted. Earlier studies, if there are any, are the link before the
first rung; where they mislead, the multiple tends to zero as own trials come in.

Values are compared by rank alone (as normal scores), so that a diverged training, or a
unit, cannot bend the model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from search.engine.searchers.gaussian_process import GaussianProcess
from search.engine.searchers.units import FloatArray

_SLOPE_WEIGHT = 2.0
"""Observations that the expected slope is worth, at a prediction of unit variance."""
_SMALLEST_RESIDUAL = 0.1


@dataclass(frozen=True)
class Sample:
    """What is known of one rung."""

    features: FloatArray
    """(n, n_features)."""
    scores: FloatArray
    """(n,) normal scores, smaller is better."""
    pending: FloatArray
    """(n_pending, n_features) trials on their way to this rung."""
    log_noise: float = -2.0
    """Logarithm of the share of noise in what the rung adds to the one before."""
    expected_slope: float = 1.0
    """Multiple of the prediction before it that holds as long as nothing is known; the
    first sample does not use it."""


@dataclass(frozen=True)
class Link:
    """value = slope · prediction before + offset + scale · process."""

    process: GaussianProcess
    slope: float = 0.0
    offset: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class RungChain:
    """A prediction for the last of a sequence of samples."""

    links: tuple[Link, ...]

    def mean(self, features: FloatArray) -> FloatArray:
        """Return the expected score at `features`, (m,)."""
        total = np.zeros(len(features))
        for link in self.links:
            own = link.scale * link.process.mean(features)
            total = link.slope * total + link.offset + own
        return total

    def predict(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the score at `features`."""
        total, variance = np.zeros(len(features)), np.zeros(len(features))
        for link in self.links:
            mean, own = link.process.predict(features)
            total = link.slope * total + link.offset + link.scale * mean
            variance = link.slope**2 * variance + link.scale**2 * own
        return total, np.sqrt(variance)


def chain_of(
    samples: Sequence[Sample],
    log_lengths: FloatArray,
    owners: npt.NDArray[np.intp],
) -> RungChain:
    """Return the model of the last of `samples`.

    Args:
        samples: from the shallowest to the deepest.
        log_lengths: (n_parameters,) of the kernel, shared by all samples: learning
            them from the few trials of a deep rung measures worse.
        owners: see `UnitSpace.owners`.
    """
    lengths = np.exp(log_lengths)[owners]
    chain = RungChain((Link(_process(samples[0], samples[0].scores, lengths)),))
    for sample in samples[1:]:
        before = chain.mean(sample.features)
        slope = _slope(before, sample.scores, sample.expected_slope)
        offset = float(sample.scores.mean() - slope * before.mean())
        left = sample.scores - slope * before - offset
        scale = max(float(left.std()), _SMALLEST_RESIDUAL)
        process = _process(sample, left / scale, lengths)
        chain = RungChain((*chain.links, Link(process, slope, offset, scale)))
    return chain


def normal_scores(values: FloatArray) -> FloatArray:
    """Return the normal quantiles of the ranks of `values`; equal values share one."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - counts / 2
    return np.asarray(ndtri(middles[inverse] / len(values)))


def _process(
    sample: Sample, values: FloatArray, lengths: FloatArray
) -> GaussianProcess:
    noise = math.exp(sample.log_noise)
    return GaussianProcess(sample.features, lengths, noise, values, sample.pending)


def _slope(before: FloatArray, scores: FloatArray, expected: float) -> float:
    """Return the least-squares slope, drawn to what was expected; never negative."""
    centred = before - before.mean()
    found = centred @ (scores - scores.mean()) + _SLOPE_WEIGHT * expected
    return max(float(found / (centred @ centred + _SLOPE_WEIGHT)), 0.0)
