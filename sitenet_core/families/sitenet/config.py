"""The complete, typed configuration of a Site-Net trial."""

from typing import Any, ClassVar, Literal

from sitenet_core.config import TrialConfig
from sitenet_core.families.sitenet.settings import CellSettings
from sitenet_core.models.sitenet.config import (
    BatchSection,
    FeaturesSection,
    ModelSection,
)

_SMALL: dict[str, Any] = {
    "cell": {"max_atoms": 50},
    "model": {
        "embedding_dim": 16,
        "site_dim_per_head": 16,
        "interaction_dim_per_head": 8,
        "attention_blocks": 2,
        "attention_heads": 2,
        "attention_weights": {"depth": 1, "width": 32},
        "pre_pooling": {"depth": 1, "width": 32},
        "post_pooling": {"depth": 2, "width": 32},
    },
    "batch": {"unique_sites": 300},
    "optimizer": {"learning_rate": 2e-3},
    "training": {"epochs": 50},
}

_TEST: dict[str, Any] = {
    "cell": {"max_atoms": 12},
    "model": {
        "embedding_dim": 4,
        "site_dim_per_head": 4,
        "interaction_dim_per_head": 3,
        "attention_blocks": 2,
        "attention_heads": 2,
        "attention_weights": {"depth": 1, "width": 8},
        "pre_pooling": {"depth": 1, "width": 8},
        "post_pooling": {"depth": 1, "width": 8},
    },
    "batch": {"unique_sites": 64},
    "optimizer": {"learning_rate": 5e-3},
    "training": {"epochs": 2},
}


class SiteNetConfig(TrialConfig):
    """Everything that decides what a Site-Net training computes, data apart.

    The defaults are preset `paper`: the configuration that the 2023 paper found
    (doi:10.1039/d3dd00005b, Table 1) with 500-atom supercells. The papers' code
    neither scales the elemental properties nor fixes the basis of the cell; set
    `features.scaling: none` and `cell.reduction: none` to do as it does.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {},
        "small": _SMALL,
        "test": _TEST,
    }

    family: Literal["sitenet"] = "sitenet"
    cell: CellSettings = CellSettings()
    """Supercell and primitive cell; decides the packed store."""
    features: FeaturesSection = FeaturesSection()
    """Scaling of the elemental properties."""
    model: ModelSection = ModelSection()
    """Architecture."""
    batch: BatchSection = BatchSection()
    """What a batch is filled with."""
