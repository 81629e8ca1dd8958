"""Reading a bundle: weights and configuration become a network that predicts."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from sitenet_core.bundle.header import (
    BUNDLE_VERSION,
    HEADER_FILE,
    WEIGHTS_FILE,
    BundleHeader,
)
from sitenet_core.config import TargetConfig, TrialConfig
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.families import ModelFamily, ModelMeta, get_family

_REMEDY = "use the version that wrote it, or train and promote the model again"


@dataclass(frozen=True)
class Bundle:
    """A trained model, ready to predict."""

    folder: Path
    header: BundleHeader
    family: ModelFamily = field(repr=False)
    config: TrialConfig = field(repr=False)
    network: nn.Module = field(repr=False)
    """In evaluation mode, on the CPU, in the precision it was trained in."""

    @property
    def target(self) -> TargetConfig:
        """What is predicted."""
        return self.header.target


def load_bundle(folder: Path) -> Bundle:
    """Return the model in a bundle folder. Nothing is unpickled.

    Raises:
        ConfigError: if there is no bundle at `folder`.
        DataError: if the bundle is damaged, of another version, or its weights do not
            fit its configuration.
    """
    header = read_header(folder)
    family = get_family(header.family)
    if header.feature_version != family.feature_version:
        raise DataError(
            f"{folder}: was trained on features of version {header.feature_version}, "
            f"this program computes version {family.feature_version}; {_REMEDY}"
        )
    try:
        config = family.Config.model_validate(header.config)
    except ValidationError as error:
        raise DataError(
            f"{folder / HEADER_FILE}: the configuration does not fit this version "
            f"({error.error_count()} keys, first "
            f"{'.'.join(map(str, error.errors()[0]['loc']))}); {_REMEDY}"
        ) from error
    network = _network(folder, header, family, config)
    return Bundle(folder, header, family, config, network)


def read_header(folder: Path) -> BundleHeader:
    """Return what a bundle says about itself.

    Raises:
        ConfigError: if there is no bundle at `folder`.
        DataError: if it is damaged or of another version.
    """
    path = folder / HEADER_FILE
    content = _read_json(path)
    if content.get("format") != "sitenet-bundle":
        raise DataError(f"{path}: is not the header of a bundle; give another folder")
    if content.get("version") != BUNDLE_VERSION:
        raise DataError(
            f"{path}: a bundle of version {content.get('version')!r}; this program "
            f"reads version {BUNDLE_VERSION}; {_REMEDY}"
        )
    try:
        return BundleHeader.model_validate(content)
    except ValidationError as error:
        raise DataError(
            f"{path}: is damaged ({error.error_count()} wrong or missing keys, first "
            f"{'.'.join(map(str, error.errors()[0]['loc']))}); restore the bundle"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give the folder of a bundle, "
            "which holds bundle.json and weights.safetensors"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); restore the bundle") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a JSON object; restore the bundle")
    return content


def _network(
    folder: Path, header: BundleHeader, family: ModelFamily, config: TrialConfig
) -> nn.Module:
    path = folder / WEIGHTS_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); restore the bundle"
        ) from error
    if hashlib.sha256(content).hexdigest() != header.weights_sha256:
        raise DataError(
            f"{path}: is not the file that {HEADER_FILE} was written for (its SHA-256 "
            "differs); restore the bundle"
        )
    # That of the CPU, where the network is; a `Predictor` on a GPU sets another.
    budget = family.micro_batch(config, None).budget
    meta = ModelMeta(header.target, header.n_targets, pair_budget=budget)
    # The first weights are thrown away: they must not use up the caller's randomness.
    with torch.random.fork_rng(devices=[]):
        network = family.build(config, meta)
    if config.training.precision == "64":
        network.double()
    try:
        network.load_state_dict(load(content))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{path}: the weights do not fit the configuration beside them ({reason}); "
            f"{_REMEDY}"
        ) from error
    return network.eval()
