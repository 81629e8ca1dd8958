"""Configuration objects and the YAML they come from."""

from sitenet_core.config.data import DataConfig, SplitConfig, TargetConfig
from sitenet_core.config.dotted import flatten, merge, unflatten
from sitenet_core.config.located import (
    LocatedDocument,
    Problem,
    load_yaml,
    nearest,
    problems_of,
    validate,
)
from sitenet_core.config.strict import StrictModel
from sitenet_core.config.trial import OptimizerConfig, TrainingConfig, TrialConfig
from sitenet_core.config.versions import installed_versions, session_versions

__all__ = [
    "DataConfig",
    "LocatedDocument",
    "OptimizerConfig",
    "Problem",
    "SplitConfig",
    "StrictModel",
    "TargetConfig",
    "TrainingConfig",
    "TrialConfig",
    "flatten",
    "installed_versions",
    "load_yaml",
    "merge",
    "nearest",
    "problems_of",
    "session_versions",
    "unflatten",
    "validate",
]
