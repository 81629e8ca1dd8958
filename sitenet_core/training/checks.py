"""What is checked before a training starts."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from sitenet_core.config import TrialConfig
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.families.protocol import Compilable, ModelFamily
from sitenet_core.training.checkpoints import Identity, TrainingState
from sitenet_core.training.options import FitOptions, TrainingData
from sitenet_core.training.targets import target_values

if TYPE_CHECKING:
    from sitenet_core.data.store import PackedStore


def last_epoch(config: TrialConfig, options: FitOptions) -> int:
    """Return the epoch at which this call ends.

    Raises:
        ConfigError: if it lies outside the configured training.
    """
    until = options.until_epoch
    if until is None:
        return config.training.epochs
    if not 1 <= until <= config.training.epochs:
        raise ConfigError(
            f"until_epoch is {until}; it must lie between 1 and training.epochs, "
            f"{config.training.epochs}; change one of the two"
        )
    return until


def check_precision(config: TrialConfig, device: Literal["cpu", "gpu"]) -> None:
    """Refuse arithmetic that the device does not have.

    Raises:
        ConfigError: for `16-mixed` on a CPU.
    """
    if config.training.precision == "16-mixed" and device == "cpu":
        raise ConfigError(
            "training.precision is '16-mixed', which needs a GPU, and this training "
            "runs on the CPU; use '32' or 'bf16-mixed'"
        )


def check_compiled(config: TrialConfig, network: object) -> Compilable:
    """Return a network that can be compiled.

    Raises:
        ConfigError: if its family has nothing to compile.
    """
    if isinstance(network, Compilable):
        return network
    raise ConfigError(
        f"training.compile is true, and family {config.family!r} has nothing to "
        "compile; set it to false"
    )


def check_store(family: ModelFamily, config: TrialConfig, store: "PackedStore") -> None:
    """Refuse a store that was built for another family or with other settings.

    Raises:
        ConfigError: naming the settings that differ.
    """
    wanted = {
        "family": family.name,
        "feature_version": family.feature_version,
        **family.settings(config).model_dump(mode="json"),
    }
    header = store.header
    found = {
        "family": header.family,
        "feature_version": header.feature_version,
        **header.settings,
    }
    differences = [
        f"{key} is {found.get(key)!r} in the store and {wanted.get(key)!r} here"
        for key in dict.fromkeys((*wanted, *found))
        if found.get(key) != wanted.get(key)
    ]
    if differences:
        raise ConfigError(
            f"the packed store of {header.source} does not fit the configuration: "
            + "; ".join(differences)
            + "; build the store of this configuration with `sitenet data build`"
        )


def check_data(family: ModelFamily, config: TrialConfig, data: TrainingData) -> None:
    """Refuse a store of other settings, an empty side, and targets out of reach.

    Raises:
        ConfigError: if the store was built with other settings.
        DataError: if there is nothing to train or to validate on, or predictions are
            clamped at 0 and a training target is negative.
    """
    check_store(family, config, data.store)
    if not data.training_ids:
        raise DataError(
            "the split has no training crystals; use a larger data set or smaller "
            "test and validation fractions"
        )
    if data.train_on == "train" and not data.validation_ids:
        raise DataError(
            "the split has no validation crystals, so that epochs cannot be compared; "
            "raise split.validation_fraction or train on 'train+validation'"
        )
    if data.target.clamp == "non_negative":
        _check_not_negative(data)


def _check_not_negative(data: TrainingData) -> None:
    rows = data.store.index_of(data.training_ids)
    negative = np.flatnonzero(target_values(data.store, data.target, rows) < 0)
    if negative.size:
        raise DataError(
            f"{negative.size} of {len(rows)} training crystals have a negative target, "
            f"first {data.training_ids[int(negative[0])]!r}, and target.clamp is "
            "'non_negative', so that they cannot be predicted; set target.clamp to "
            "'none', or target.sign to -1 if the column lists them with the other sign"
        )


def check_resumed(state: TrainingState, identity: Identity, until: int) -> None:
    """Refuse to continue another training, or one that is further already.

    Raises:
        ConfigError: naming what differs.
    """
    differences = identity.differences(state.identity)
    if differences:
        raise ConfigError(
            "the checkpoint belongs to another training: "
            + "; ".join(differences)
            + "; resume with the configuration and data that it was written with"
        )
    if state.epoch > until:
        raise ConfigError(
            f"the checkpoint has {state.epoch} epochs behind it and this training "
            f"ends at epoch {until}; raise the number of epochs or start afresh"
        )
