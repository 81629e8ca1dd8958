"""What a segment does: the contract, and how a worker finds it by name."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from search.trial.messages import EpochMessage
from search.trial.payload import SegmentPayload
from sitenet_core.errors import ConfigError

TRAIN = "train"

OnEpochDone = Callable[[EpochMessage], None]


@dataclass(frozen=True)
class WorkResult:
    """What a segment leaves behind when it has reached its target epoch."""

    checkpoint: str | None = None
    bundle: str | None = None


Work = Callable[[SegmentPayload, OnEpochDone], WorkResult]
"""Trains from the payload's checkpoint to its target epoch. Calls back once per epoch
after `from_epoch`, in order and without a gap, each time with its checkpoint on disk;
what the callback raises ends the work."""


def find_work(name: str) -> Work:
    """Return the work called `name`: `train`, or `module:function`.

    The second form is for programs that simulate training. No file that a user writes
    can reach it: a study has no key for it.

    Raises:
        ConfigError: if it is neither.
    """
    if name == TRAIN:
        from search.trial.training import train

        return train
    module, colon, function = name.partition(":")
    if not colon:
        raise ConfigError(f"work {name!r} is neither {TRAIN!r} nor module:function")
    work: Work = getattr(importlib.import_module(module), function)
    return work
