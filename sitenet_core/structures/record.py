"""One crystal as it enters the program."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pymatgen.core import Structure


@dataclass(frozen=True)
class StructureRecord:
    """A crystal with the values its source gives for it."""

    id: str
    """Unique within the source."""
    structure: Structure
    """Fully occupied, finite, without overlapping sites (`checks.check_structure`)."""
    labels: Mapping[str, float] = field(default_factory=dict)
    """Numeric columns of the source by name; NaN where the source has no value."""
    fold: int | None = None
    """Test fold of the source's official split, where it has one."""


@dataclass(frozen=True)
class SkippedStructure:
    """A crystal that cannot be used: a row in the report, never a silent gap."""

    id: str
    reason: str
    """What was read, what was allowed, and what to do, in one sentence."""
