"""How many pairs of a batch go through the network at once."""

import numpy as np

from sitenet_core.families.protocol import MicroBatch
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.families.sitenet.cost import cost

_CPU_BYTES = 256 * 2**20
"""Kept for the backward pass at once on a CPU, where the network itself goes through
pairs in pieces that fit caches: larger groups are no faster and take more memory."""
_CPU_BYTES_WHOLE = 1024 * 2**20
"""The same where a batch cannot be divided; what is above is computed twice."""
_SHARE = 0.5
"""Of the free memory of a device; the rest is for weights, resident arrays and what an
allocator cannot use."""


def micro_batch(config: SiteNetConfig, memory_bytes: int | None) -> MicroBatch:
    """Return the largest number of pairs of a group; `memory_bytes` None is a CPU."""
    splits = config.model.normalization != "batch"
    if memory_bytes is None:
        usable: float = _CPU_BYTES if splits else _CPU_BYTES_WHOLE
    else:
        usable = _SHARE * memory_bytes
    budget = max(1, int(usable / _bytes_per_pair(config)))
    return MicroBatch("n_pairs", budget, splits=splits)


def _bytes_per_pair(config: SiteNetConfig) -> float:
    sizes = {"n_pairs": np.array([1, 2]), "n_sites": np.array([1, 1])}
    one, two = cost(sizes, config)
    return two.bytes - one.bytes
