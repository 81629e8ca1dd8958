"""A toy training in a process of its own that is slow enough to be killed."""

import sys
import time
from pathlib import Path

from support.toy_training import (
    ToyBatch,
    ToyNetwork,
    register_toy,
    toy_config,
    train_toy,
)
from torch import Tensor

from sitenet_core.families import registry

SLOW_AFTER = 2
"""Epochs that run at full speed; then each batch of training takes its time."""


def main() -> None:
    """Train in the folder of the first argument; say when an epoch is under way."""
    register_toy(registry._MODULES)
    folder = Path(sys.argv[1])
    forward = ToyNetwork.forward

    def slowly(self: ToyNetwork, batch: ToyBatch) -> Tensor:
        curve = folder / "curve.csv"
        done = len(curve.read_text().splitlines()) - 1 if curve.is_file() else 0
        if self.training and done >= SLOW_AFTER:
            print("under way", flush=True)  # noqa: T201 (the parent waits for it)
            time.sleep(0.5)
        return forward(self, batch)

    ToyNetwork.forward = slowly  # type: ignore[method-assign]
    train_toy(folder, toy_config(epochs=6))


if __name__ == "__main__":
    main()
