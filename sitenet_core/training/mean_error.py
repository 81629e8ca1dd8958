"""The mean absolute error of an epoch, summed where the batches are."""

import torch
from torch import Tensor


class ErrorMean:
    """A running mean in float64; nothing waits for the device before it is read."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._sum: Tensor | None = None
        self.count = 0

    def add(self, absolute: Tensor, count: int) -> None:
        """Add the sum of `count` absolute errors, ()."""
        value = absolute.detach().to(torch.float64)
        self._sum = value if self._sum is None else self._sum + value
        self.count += count

    def value(self) -> float | None:
        """Return the mean; None where nothing was counted."""
        if self._sum is None:
            return None
        return float(self._sum.item()) / self.count
