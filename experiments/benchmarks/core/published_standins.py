"""Stand-ins for packages that the published code imports and that are not installed.

`torch_scatter` computes what its network uses. The others only satisfy imports: nothing
that is measured calls them, and a call is refused.
"""

import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def install() -> None:
    """Put the stand-ins where `import` finds them."""
    for name, content in _CONTENT.items():
        module = ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module


def segment_csr(values: Tensor, offsets: Tensor, reduce: str) -> Tensor:
    """Return the mean or maximum of the rows between consecutive offsets."""
    return torch.segment_reduce(values, reduce, offsets=offsets, axis=0)


def refused(*_: Any) -> None:
    """Refuse to stand in for a function that nothing measured calls."""
    raise NotImplementedError("this stand-in only satisfies an import")


class Unused:
    """A class that nothing measured makes an object of."""


_CONTENT: dict[str, dict[str, Any]] = {
    "torch_scatter": {
        "segment_csr": segment_csr,
        "segment_coo": refused,
        "scatter_mean": refused,
        "scatter_std": refused,
    },
    "torch_scatter.composite": {"scatter_std": refused},
    "dscribe": {},
    "dscribe.descriptors": {"SOAP": Unused},
    "h5py": {},
    "compress_pickle": {"dumps": refused, "loads": refused},
    "matbench": {},
    "matbench.bench": {"MatbenchBenchmark": Unused},
}
