"""Writing a bundle: a folder that is there completely or not at all."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from sitenet_core.bundle.header import (
    HEADER_FILE,
    OXIDATION_STATES,
    WEIGHTS_FILE,
    BundleData,
    BundleHeader,
)
from sitenet_core.bundle.load import read_header
from sitenet_core.config import TargetConfig, TrialConfig, installed_versions
from sitenet_core.durable import replace_file, sync_folder
from sitenet_core.errors import ConfigError
from sitenet_core.families import get_family
from sitenet_core.training.checkpoints import Identity, load_weights
from sitenet_core.training.options import TrainingData

_PACKAGES = ("sitenet-search", "torch", "numpy", "pymatgen", "safetensors")


@dataclass(frozen=True)
class BundleDescription:
    """What a bundle says about its weights; get one from `describe`."""

    config: TrialConfig
    target: TargetConfig
    data: BundleData
    epoch: int
    metrics: "Metrics"


Metrics = Mapping[str, float | None]
"""Errors in the target's unit by name; None where there is none: left out."""


def describe(
    config: TrialConfig, data: TrainingData, epoch: int, metrics: Metrics
) -> BundleDescription:
    """Return the description of weights that `config` learned from `data`.

    Args:
        config: as it was trained.
        data: as it was trained on.
        epoch: epochs that the weights have seen.
        metrics: errors in the target's unit by name (`val_mae`, `test_mae`).
    """
    split, header = data.split, data.store.header
    bundle_data = BundleData(
        source=header.source,
        source_digest=header.source_digest,
        store_digest=data.store.digest,
        split_digest=split.digest,
        split=split.config.model_dump(mode="json"),
        train_on=data.train_on,
        n_train=len(data.training_ids),
        n_validation=len(data.validation_ids),
        n_test=len(split.test),
        oxidation_states=_trained_on_oxidation_states(data),
    )
    return BundleDescription(config, data.target, bundle_data, epoch, metrics)


def _trained_on_oxidation_states(data: TrainingData) -> bool | None:
    rows = data.store.index_of(data.training_ids).tolist()
    if not rows or OXIDATION_STATES not in data.store.record(rows[0]):
        return None
    return any(data.store.record(row)[OXIDATION_STATES].any() for row in rows)


def bundle_from_checkpoint(
    folder: Path,
    checkpoint: Path,
    config: TrialConfig,
    data: TrainingData,
    metrics: Metrics,
) -> Path:
    """Write the weights of a checkpoint (last or best) as a bundle; return `folder`.

    Raises:
        ConfigError: if the checkpoint is missing or belongs to another configuration
            or other data.
        DataError: if the checkpoint is damaged or of another version.
    """
    identity, epoch, weights = load_weights(checkpoint)
    differences = Identity.of(config, data).differences(identity)
    if differences:
        listed = "; ".join(differences)
        raise ConfigError(
            f"{checkpoint}: belongs to another training: {listed}; give the "
            "configuration and data that it was written with"
        )
    return save_bundle(folder, weights, describe(config, data, epoch, metrics))


def save_bundle(
    folder: Path, weights: Mapping[str, Tensor], description: BundleDescription
) -> Path:
    """Write `bundle.json` and `weights.safetensors`; return `folder`.

    The folder appears at once and complete, and is on the disk when this returns. A
    bundle that is there already is replaced.

    Raises:
        ConfigError: if `folder` exists and is not a bundle.
    """
    if folder.exists() and not (folder / HEADER_FILE).is_file():
        raise ConfigError(
            f"{folder}: exists and is not a bundle; give a folder that does not exist"
        )
    content = save({name: t.contiguous().cpu() for name, t in weights.items()})
    header = _header(description, hashlib.sha256(content).hexdigest())
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        replace_file(partial / WEIGHTS_FILE, content)
        _write_header(partial, header)
        _put_in_place(partial, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _put_in_place(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old)


def add_metrics(folder: Path, metrics: Metrics) -> None:
    """Lay `metrics` over those of the bundle at `folder`.

    Raises:
        ConfigError: if there is no bundle.
        DataError: if it is damaged or of another version.
    """
    header = read_header(folder)
    merged = {**header.metrics, **_known(metrics)}
    changed = header.model_copy(update={"metrics": merged})
    _write_header(folder, changed)


def _header(description: BundleDescription, digest: str) -> BundleHeader:
    config = description.config
    return BundleHeader(
        family=config.family,
        feature_version=get_family(config.family).feature_version,
        config=config.model_dump(mode="json"),
        target=description.target,
        epoch=description.epoch,
        data=description.data,
        metrics=_known(description.metrics),
        versions=installed_versions(_PACKAGES),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        weights_sha256=digest,
    )


def _known(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value is not None}


def _write_header(folder: Path, header: BundleHeader) -> None:
    text = header.model_dump_json(indent=2) + "\n"
    replace_file(folder / HEADER_FILE, text.encode())
