"""Model families: everything that the platform knows of a model, behind one door."""

from sitenet_core.families.protocol import Batch, Cost, ModelFamily, ModelMeta
from sitenet_core.families.registry import family_names, get_family, recipe

__all__ = [
    "Batch",
    "Cost",
    "ModelFamily",
    "ModelMeta",
    "family_names",
    "get_family",
    "recipe",
]
