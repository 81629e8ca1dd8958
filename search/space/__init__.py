"""Search spaces: YAML files that say what may vary, checked and made into values."""

from search.space.loading import find_space, load_space, shipped_spaces, spaces_root
from search.space.report import SpaceReport, check_report
from search.space.space import Space
from search.space.values import FlatConfiguration, Value

__all__ = [
    "FlatConfiguration",
    "Space",
    "SpaceReport",
    "Value",
    "check_report",
    "find_space",
    "load_space",
    "shipped_spaces",
    "spaces_root",
]
