"""Model families: everything that the platform knows of a model, behind one door."""

from sitenet_core.families.protocol import (
    Batch,
    Cost,
    MicroBatch,
    ModelFamily,
    ModelMeta,
    batch_of,
)
from sitenet_core.families.registry import family_names, get_family, recipe

__all__ = [
    "Batch",
    "Cost",
    "MicroBatch",
    "ModelFamily",
    "ModelMeta",
    "batch_of",
    "family_names",
    "get_family",
    "recipe",
]
