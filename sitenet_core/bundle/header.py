"""`bundle.json`: what a bundle is, in words and numbers."""

from typing import Any, Literal

from sitenet_core.config import StrictModel, TargetConfig

BUNDLE_VERSION = 1
"""Raised whenever a bundle of before cannot be read as one of now."""
OXIDATION_STATES = "oxidation_states"
"""Array of a store, (n_sites,), 0 where a site has none; not in every family."""
HEADER_FILE = "bundle.json"
WEIGHTS_FILE = "weights.safetensors"


class BundleData(StrictModel):
    """The crystals that the weights were fitted to."""

    source: str
    """What the user called the source."""
    source_digest: str
    store_digest: str
    """Digest of the packed store."""
    split_digest: str
    split: dict[str, Any]
    """The split's configuration."""
    train_on: Literal["train", "train+validation"]
    n_train: int
    n_validation: int
    n_test: int
    oxidation_states: bool | None = None
    """Whether a crystal that the weights were fitted to had an oxidation state.

    If none had, its weights are still as they were drawn, and prediction leaves
    oxidation states out. None where the store has no such array, or in bundles of
    before: nothing is left out.
    """


class BundleHeader(StrictModel):
    """Everything about a trained model except its weights."""

    format: Literal["sitenet-bundle"] = "sitenet-bundle"
    version: int = BUNDLE_VERSION
    family: str
    feature_version: int
    """Of the family's arrays; other features mean other predictions."""
    config: dict[str, Any]
    """The resolved configuration, nested."""
    target: TargetConfig
    n_targets: int = 1
    epoch: int
    """Epochs that the weights have seen."""
    data: BundleData
    metrics: dict[str, float]
    """`val_mae`, `test_mae`, ..., in the target's unit."""
    versions: dict[str, str]
    """Of Python and of the packages that decide the numbers."""
    created: str
    """ISO 8601, UTC."""
    weights_sha256: str
