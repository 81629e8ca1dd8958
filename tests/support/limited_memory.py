"""Real trainings whose process may not have much more memory than it begins with."""

import ctypes
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.sitenet_training import TARGET, PrototypeSource, prototype_data

from search.engine.segment import Segment
from search.trial.payload import SegmentData, SegmentPayload
from search.trial.training import train
from search.trial.work import OnEpochDone, WorkResult
from sitenet_core.config import merge
from sitenet_core.data import BuildOptions, PackedStore, open_or_build
from sitenet_core.families import get_family, recipe
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training import TrainingData

LIMITED = "support.limited_memory:train_limited"
GRANTED = 100 * 2**20
"""Too little for the declared batch of `wide`, enough for a quarter of it."""
N_CRYSTALS = 20
_STATUS = Path("/proc/self/status")
_MMAP_THRESHOLD = -3
"""Parameter of mallopt."""


def wide(norm: str = "layer") -> SiteNetConfig:
    """Return a float64 Site-Net that takes some 10 kB a pair, one batch an epoch."""
    model = {
        "interaction_dim_per_head": 32,
        "attention_heads": 4,
        "attention_weights": {"depth": 2, "width": 64},
    }
    return _with_many_pairs({"normalization": norm, **model})


def narrow(norm: str) -> SiteNetConfig:
    """Return a small one on the same cells."""
    return _with_many_pairs({"normalization": norm})


def _with_many_pairs(model: dict[str, object]) -> SiteNetConfig:
    changes = {
        "cell": {"max_atoms": 200, "merge_tolerance": None},
        "training": {"epochs": 2, "precision": "64"},
        "batch": {"unique_sites": 1200},
        "model": model,
    }
    return SiteNetConfig.from_preset("test", changes)


def wide_store(root: Path) -> PackedStore:
    """Return prototypes with a thousand pairs each."""
    family = get_family("sitenet")
    return open_or_build(
        PrototypeSource(N_CRYSTALS),
        recipe(family, family.settings(wide())),
        BuildOptions(root, max_failed_fraction=0.2),
    )


def wide_payload(
    folder: Path, data: TrainingData, config: SiteNetConfig, work: str = "train"
) -> Callable[[Segment], SegmentPayload]:
    """Return a payload maker whose trials differ in their learning rate alone."""
    data.split.save(folder / "split.json")
    where = SegmentData(
        store=str(data.store.path), split=str(folder / "split.json"), target=TARGET
    )

    def make(segment: Segment) -> SegmentPayload:
        rate = {"optimizer": {"learning_rate": 1e-3 + 1e-3 * _x(segment)}}
        checkpoint = segment.checkpoint
        return SegmentPayload(
            work=work,
            trial=segment.trial,
            attempt=segment.attempt,
            configuration=merge(config.model_dump(mode="json"), rate),
            data=where,
            from_epoch=segment.from_epoch,
            until_epoch=segment.until_epoch,
            is_last=segment.is_last,
            checkpoint=str(folder / checkpoint) if checkpoint else None,
            folder=str(folder / segment.folder),
            bundle=str(folder / f"trials/{segment.trial:05d}/bundle"),
            device="cpu",
            micro_batch=segment.micro_batch,
        )

    return make


def _x(segment: Segment) -> float:
    return float(segment.configuration["x"] or 0)


def wide_data(root: Path) -> TrainingData:
    """Return a split of the prototypes."""
    return prototype_data(wide_store(root))


def train_limited(payload: SegmentPayload, on_epoch: OnEpochDone) -> WorkResult:
    """Train as a trial does, but from the second epoch on with `GRANTED` bytes."""
    (Path(payload.folder) / "pid").write_text(str(os.getpid()))
    # What is freed goes back at once, and does not serve later.
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 2**16)
    with tempfile.TemporaryDirectory() as folder:
        # What a process has before its first large batch is not what is tested.
        changes = {"folder": folder, "checkpoint": None, "from_epoch": 0}
        changes |= {"until_epoch": 1, "is_last": False, "micro_batch": 2000}
        train(payload.model_copy(update=changes), lambda _: None)
    limit = _data_bytes() + GRANTED
    before = resource.getrlimit(resource.RLIMIT_DATA)

    def then(message: object) -> None:
        on_epoch(message)  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))

    if payload.from_epoch > 0:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        return train(payload, then)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """Return the private memory of this process."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not say how much memory this process has")
