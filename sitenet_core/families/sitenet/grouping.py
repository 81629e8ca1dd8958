"""How many pairs of a batch go through the network at once."""

import numpy as np

from sitenet_core.families.protocol import MicroBatch
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.families.sitenet.cost import cost

_CPU_PAIRS = 32_768
"""On a CPU, at the paper's widths. The network goes through pairs in pieces that fit
caches, so that larger groups are no faster and take more memory (measured: +300 MiB;
64 thousand pairs +450 MiB at the same speed); in smaller ones more crystals are above
the budget and are computed twice (16 thousand: 15 % slower)."""
_CPU_PAIRS_WHOLE = 131_072
"""The same where a batch cannot be divided; what is above is computed twice."""
_SMALLEST = 512
"""About one row of a cell of 500 atoms: the network works on whole rows, and what so
few pairs take is nothing beside weights and optimiser."""
_SHARE = 0.15
"""Of the free memory of a device. The counts are those of the kernels on a CPU; torch's
own operations keep up to four times as much, and there are resident arrays besides."""


def micro_batch(config: SiteNetConfig, memory_bytes: int | None) -> MicroBatch:
    """Return the largest number of pairs of a group; `memory_bytes` None is a CPU."""
    splits = config.model.normalization != "batch"
    if memory_bytes is None:
        pairs = _CPU_PAIRS if splits else _CPU_PAIRS_WHOLE
        paper = _bytes_per_pair(SiteNetConfig.from_preset("paper"))
        usable = pairs * paper
    else:
        usable = _SHARE * memory_bytes
    budget = max(1, int(usable / _bytes_per_pair(config)))
    return MicroBatch("n_pairs", budget, splits=splits, smallest=_SMALLEST)


def _bytes_per_pair(config: SiteNetConfig) -> float:
    sizes = {"n_pairs": np.array([1, 2]), "n_sites": np.array([1, 1])}
    one, two = cost(sizes, config).bytes
    return float(two - one)
