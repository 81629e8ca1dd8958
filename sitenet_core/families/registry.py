"""The families by the name that `family:` takes in YAML."""

import importlib

from sitenet_core.config import StrictModel, nearest
from sitenet_core.data.schema import FeatureRecipe
from sitenet_core.errors import ConfigError
from sitenet_core.families.protocol import ModelFamily

_MODULES = {"sitenet": "sitenet_core.families.sitenet.plugin"}
"""Name → module whose `FAMILY` is the plug-in; imported when first asked for."""


def family_names() -> tuple[str, ...]:
    """Return the names of all families."""
    return tuple(_MODULES)


def get_family(name: str) -> ModelFamily:
    """Return the plug-in of family `name`.

    Raises:
        ConfigError: if there is no such family.
    """
    if name not in _MODULES:
        raise ConfigError(
            f"family: there is no model family {name!r}; {nearest(name, _MODULES)}"
        )
    family: ModelFamily = importlib.import_module(_MODULES[name]).FAMILY
    return family


def recipe(family: ModelFamily, settings: StrictModel) -> FeatureRecipe:
    """Return how a store of `family` with `settings` is made."""
    return FeatureRecipe(
        family=family.name,
        feature_version=family.feature_version,
        schema=tuple(family.schema),
        settings=settings,
        featurise=family.featurise,
    )
