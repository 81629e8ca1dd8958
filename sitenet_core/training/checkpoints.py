"""Checkpoints of a training: plain mappings of tensors, numbers and words.

A checkpoint is everything that the rest of the training depends on: weights, optimiser,
gradient scaler, random state, learning curve, and the best weights so far. One file is
therefore enough to continue in another folder. Both kinds are read with
`weights_only`, so that reading one never runs code.
"""

import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sitenet_core.config import TrialConfig, flatten
from sitenet_core.durable import sync_folder
from sitenet_core.errors import CheckpointError, ConfigError
from sitenet_core.training.options import EpochRecord, TrainingData

FORMAT = 1
"""Raised whenever a checkpoint of before cannot be read as one of now."""

_AS_THEY_ARE = ("epoch", "weights", "optimizer", "precision", "random", "machine")
"""Fields of a state that are stored without a change."""

_DAMAGE = (
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    OSError,
    # What torch stumbles over where single bytes were changed.
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to; a resumed training must be the same."""

    config: dict[str, Any]
    """The resolved configuration, nested, JSON types."""
    target: dict[str, Any]
    store: str
    """Digest of the packed store."""
    split: str
    """Digest of the split."""
    train_on: str

    @classmethod
    def of(cls, config: TrialConfig, data: TrainingData) -> "Identity":
        """Return the identity of training `config` on `data`."""
        return cls(
            config=config.model_dump(mode="json"),
            target=data.target.model_dump(mode="json"),
            store=data.store.digest,
            split=data.split.digest,
            train_on=data.train_on,
        )

    def differences(self, other: "Identity") -> list[str]:
        """Return the keys that differ; the number of epochs may."""
        mine, theirs = (flatten(asdict(identity)) for identity in (self, other))
        keys = dict.fromkeys((*mine, *theirs))
        return [
            f"{key} ({theirs.get(key)!r} in the checkpoint, {mine.get(key)!r} now)"
            for key in keys
            if mine.get(key) != theirs.get(key) and key != "config.training.epochs"
        ]


@dataclass(frozen=True)
class BestWeights:
    """The weights with the lowest validation MAE so far, on the CPU."""

    epoch: int
    val_mae: float | None
    """None where nothing is validated: the best weights are then the last."""
    weights: Weights = field(repr=False)


@dataclass(frozen=True)
class TrainingState:
    """A training at the end of an epoch, tensors on the CPU."""

    identity: Identity
    epoch: int
    """Epochs done."""
    weights: Weights = field(repr=False)
    optimizer: dict[str, Any] = field(repr=False)
    precision: dict[str, Any] = field(repr=False)
    """State of the gradient scaler; empty without one."""
    random: dict[str, Tensor] = field(repr=False)
    """Random state of torch by device (`cpu`, `cuda`)."""
    curve: tuple[EpochRecord, ...] = field(repr=False)
    best: BestWeights
    machine: dict[str, Any]
    """Threads, device and largest group (`micro_batch`) of the epoch, for the record:
    a training that is resumed may have others."""


def save_state(path: Path, state: TrainingState) -> None:
    """Write a checkpoint that a training can continue from, atomically."""
    best = state.best
    content = {name: getattr(state, name) for name in _AS_THEY_ARE}
    content |= {
        "format": FORMAT,
        "kind": "last",
        "identity": asdict(state.identity),
        "curve": [asdict(record) for record in state.curve],
        # Equal to `weights` where the last epoch is the best: stored once.
        "best": {
            "epoch": best.epoch,
            "val_mae": best.val_mae,
            "weights": None if best.epoch == state.epoch else best.weights,
        },
    }
    _write(path, content)


def save_best(path: Path, identity: Identity, best: BestWeights) -> None:
    """Write the best weights so far, atomically; enough for a bundle."""
    content = {
        "format": FORMAT,
        "kind": "best",
        "identity": asdict(identity),
        "epoch": best.epoch,
        "val_mae": best.val_mae,
        "weights": best.weights,
    }
    _write(path, content)


def load_state(path: Path) -> TrainingState:
    """Read a checkpoint to continue from.

    Raises:
        ConfigError: if there is no such file or it holds the best weights only.
        CheckpointError: if it is damaged or of another format version.
    """
    content = _read(path)
    if content.get("kind") != "last":
        raise ConfigError(
            f"{path}: holds the best weights only, without the optimiser; resume from "
            "the last.ckpt beside it"
        )
    try:
        return _state(content)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _state(content: dict[str, Any]) -> TrainingState:
    best = content["best"]
    if best["weights"] is None:
        best["weights"] = content["weights"]
    return TrainingState(
        identity=Identity(**content["identity"]),
        curve=tuple(EpochRecord(**row) for row in content["curve"]),
        best=BestWeights(**best),
        **{name: content[name] for name in _AS_THEY_ARE},
    )


def load_weights(path: Path) -> tuple[Identity, int, Weights]:
    """Return what a checkpoint of either kind belongs to, its epoch and its weights.

    Raises:
        ConfigError: if there is no such file.
        CheckpointError: if it is damaged or of another format version.
    """
    content = _read(path)
    return Identity(**content["identity"]), content["epoch"], content["weights"]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        torch.save(dict(content), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such checkpoint; give the path of a last.ckpt or "
            "best.ckpt that a training has written"
        ) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: a checkpoint of format {found!r}; this version reads format "
            f"{FORMAT}; continue with the version that wrote it, or start afresh"
        )
    checked: dict[str, Any] = content
    return checked


def _damaged(path: Path, error: Exception) -> CheckpointError:
    # An empty file is all that torch has no words for.
    reason = str(error).strip().split("\n")[0] or "it is empty"
    return CheckpointError(
        f"{path}: is not a checkpoint of a training, or is damaged ({reason}); "
        "start this training afresh"
    )
