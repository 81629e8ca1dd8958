"""The declaration of every array in a packed store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sitenet_core.config.strict import StrictModel

CRYSTAL = "crystal"
"""The scope with exactly one row per crystal; every other scope is ragged."""

FeatureArrays = Mapping[str, np.ndarray]
"""Arrays of one crystal by name; the first axis runs over the array's scope."""


@dataclass(frozen=True)
class ArraySpec:
    """Name, scope, type and meaning of one array.

    `scope` is `crystal` or a family's own word (`site`, `pair`). All arrays of a scope
    have the same number of rows in a crystal. `shape` is the shape of one row.
    """

    name: str
    scope: str
    dtype: str
    unit: str
    description: str
    shape: tuple[int, ...] = ()


def scopes(schema: Sequence[ArraySpec]) -> list[str]:
    """Return the ragged scopes of `schema`, in order of first appearance."""
    return [s for s in dict.fromkeys(spec.scope for spec in schema) if s != CRYSTAL]


@dataclass(frozen=True)
class FeatureRecipe:
    """How one store's arrays are made; its fields decide the store's identity."""

    family: str
    feature_version: int
    schema: tuple[ArraySpec, ...]
    settings: StrictModel
    featurise: Callable[[Any, Any], dict[str, np.ndarray]]
    """Picklable function of (structure, settings); raises StructureError. The structure
    is pymatgen's, or a `Crystal` where the source holds arrays."""
