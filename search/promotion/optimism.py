"""How much too good the best value of a search is, because it is the best.

The smallest of many noisy values is smaller than what it stands for: J. Smith and R.
Winkler, *The Optimizer's Curse*, Management Science 52 (2006) 311; for model selection,
G. Cawley and N. Talbot, JMLR 11 (2010) 2079. That is why the value by which a trial
was selected does not count in the mean of its reruns: it is not an unbiased draw any
more. (An unbiased combination exists under normal noise, A. Cohen and H. Sackrowitz,
Statistics & Probability Letters 8 (1989) 273, but needs a known variance; here it is
estimated from a handful of reruns.)
"""

from collections.abc import Sequence

import numpy as np

_DRAWS = 4000
_FAR = 8.0
"""Standard deviations of noise beyond which a value can never become the smallest."""


def expected_optimism(values: Sequence[float], noise: float) -> float:
    """Return by how much the smallest of `values` is expected to be too small.

    It is E[−ε of the argmin of (values + ε)] for independent normal ε: what noise of
    this size would do to trials that truly differed as the observed ones do. They
    differ less, since noise has spread them already, so this is an estimate and, where
    noise dominates, a low one. The draws have a fixed seed: a pure function.

    Args:
        values: of all trials that were compared; errors, so less is better.
        noise: standard deviation of the noise of one value, at least 0.
    """
    if noise <= 0:
        return 0.0
    found = np.sort(np.asarray(values, dtype=np.float64))
    near = found[found <= found[0] + _FAR * noise]
    draws = np.random.default_rng(0).normal(0.0, noise, (_DRAWS, len(near)))
    chosen = (near + draws).argmin(axis=1)
    return float(-draws[np.arange(_DRAWS), chosen].mean())
