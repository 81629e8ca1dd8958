"""A share of the training crystals: nested, so that more only ever adds."""

import math

import numpy as np

from sitenet_core.data.split import Split

_STREAM = 20


def training_share(split: Split, share: float, seed: int) -> Split:
    """Return `split` with the first part of its training crystals in a random order.

    The order depends on the seed and on the training crystals alone. So a larger share
    holds every smaller one, and all shares have the same validation and test crystals.

    Args:
        split: the whole split.
        share: in (0, 1]; 1 returns `split` itself. Rounded up to whole crystals.
        seed: of the order.
    """
    if share == 1:
        return split
    order = np.random.default_rng([seed, _STREAM]).permutation(len(split.train))
    # Without the slack a share of 0.1 of ten would be two: 0.1 · 10 lies above 1.
    n_kept = math.ceil(share * len(split.train) - 1e-9)
    kept = sorted(split.train[k] for k in order[:n_kept].tolist())
    return split.model_copy(update={"train": tuple(kept)})
