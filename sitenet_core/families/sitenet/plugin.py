"""Site-Net as a model family.

torch is imported when a batch or a module is made, so that workers that only featurise
and commands that only read configurations stay light.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sitenet_core.config import StrictModel, TrialConfig
from sitenet_core.data.schema import ArraySpec
from sitenet_core.errors import ConfigError
from sitenet_core.families.protocol import Cost, MicroBatch, ModelMeta
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.families.sitenet.cost import cost
from sitenet_core.families.sitenet.featurise import (
    FEATURE_VERSION,
    SCHEMA,
    featurise,
)
from sitenet_core.families.sitenet.grouping import micro_batch
from sitenet_core.families.sitenet.probes import PROBES
from sitenet_core.families.sitenet.settings import CellSettings

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from sitenet_core.data.ragged import Ragged
    from sitenet_core.families.sitenet.batch import CrystalBatch
    from sitenet_core.models.sitenet.network import SiteNet
    from sitenet_core.structures.cell import Crystal


INPUTS = (
    "n_pairs",
    "atomic_numbers",
    "oxidation_states",
    "site_multiplicity",
    "pairs_per_block",
    "pair_distance",
    "pair_multiplicity",
)
"""The arrays that a batch is made of."""


class SiteNetFamily:
    """The plug-in; stateless, so that it pickles as its class."""

    name: str = "sitenet"
    Config: type[TrialConfig] = SiteNetConfig
    schema: Sequence[ArraySpec] = SCHEMA
    inputs: Sequence[str] = INPUTS
    feature_version: int = FEATURE_VERSION
    default_settings: StrictModel = CellSettings()
    probes: Sequence[Mapping[str, Any]] = PROBES

    def settings(self, config: TrialConfig) -> StrictModel:
        """Return the cell section of `config`, all that a store depends on."""
        return _own(config).cell

    def featurise(
        self, structure: "Structure | Crystal", settings: StrictModel
    ) -> dict[str, np.ndarray]:
        """Return the arrays of `SCHEMA` for one crystal.

        Raises:
            StructureError: if this crystal cannot be taken.
        """
        if not isinstance(settings, CellSettings):
            raise TypeError(f"Site-Net needs CellSettings, not {type(settings)}")
        return featurise(structure, settings)

    def collate(self, ragged: "Ragged", targets: np.ndarray | None) -> "CrystalBatch":
        """Return one batch; `targets` (n_crystals, n_targets), None to predict."""
        from sitenet_core.families.sitenet.collate import collate

        return collate(ragged, targets)

    def build(self, config: TrialConfig, meta: ModelMeta) -> "SiteNet":
        """Return the module with fresh weights from torch's random generator."""
        import torch

        from sitenet_core.features.elements import element_table, standardised
        from sitenet_core.models.sitenet.network import OutputSection, SiteNet

        own = _own(config)
        table = element_table()
        if own.features.scaling == "standard":
            table = standardised(table)
        output = OutputSection(
            n_targets=meta.n_targets,
            non_negative=meta.target.clamp == "non_negative",
        )
        elements = torch.from_numpy(table)
        return SiteNet(own.model, elements, output, meta.pair_budget)

    def cost(
        self,
        sizes: Mapping[str, np.ndarray],
        config: TrialConfig,
        *,
        in_parts: bool = False,
    ) -> Cost:
        """Return the cost of each crystal; reads `n_sites` and `n_pairs`."""
        return cost(sizes, _own(config), in_parts=in_parts)

    def batch_budget(self, config: TrialConfig) -> tuple[str, int]:
        """Return what a batch is filled with and up to which total.

        Unique sites are those of the primitive cell, whatever is merged.
        """
        batch = _own(config).batch
        if batch.unique_sites is not None:
            return "n_unique_sites", batch.unique_sites
        if batch.crystals is not None:
            return "crystals", batch.crystals
        raise ConfigError("batch: neither unique_sites nor crystals is a number")

    def micro_batch(self, config: TrialConfig, memory_bytes: int | None) -> MicroBatch:
        """Return how many pairs go through the network at once.

        Nothing couples crystals except batch norm, whose statistics are those of the
        declared batch.
        """
        return micro_batch(_own(config), memory_bytes)


def _own(config: TrialConfig) -> SiteNetConfig:
    if not isinstance(config, SiteNetConfig):
        raise ConfigError(
            f"family: this is a configuration of {config.family!r}; family 'sitenet' "
            "builds only its own"
        )
    return config


FAMILY = SiteNetFamily()
