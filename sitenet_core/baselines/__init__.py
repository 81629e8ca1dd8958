"""References that every tuned model is compared with."""

from sitenet_core.baselines.composition import CompositionOptions, composition_baseline
from sitenet_core.baselines.constant import constant_baseline

__all__ = ["CompositionOptions", "composition_baseline", "constant_baseline"]
