"""Training: one function, `fit`, for trials and for the final long training."""

from sitenet_core.training.curve import read_curve
from sitenet_core.training.fit import fit
from sitenet_core.training.options import (
    EpochRecord,
    FitOptions,
    FitResult,
    OnEpoch,
    TrainingData,
)
from sitenet_core.training.targets import target_values

__all__ = [
    "EpochRecord",
    "FitOptions",
    "FitResult",
    "OnEpoch",
    "TrainingData",
    "fit",
    "read_curve",
    "target_values",
]
