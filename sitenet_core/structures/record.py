"""One crystal as it enters the program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sitenet_core.structures.cell import Crystal

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True)
class StructureRecord:
    """A crystal with the values its source gives for it."""

    id: str
    """Unique within the source."""
    given: "Structure | Crystal"
    """Fully occupied, finite, without overlapping sites (`checks`): arrays where the
    source holds arrays, pymatgen's structure where it had to be parsed."""
    labels: Mapping[str, float] = field(default_factory=dict)
    """Numeric columns of the source by name; NaN where the source has no value."""
    fold: int | None = None
    """Test fold of the source's official split, where it has one."""

    @cached_property
    def structure(self) -> "Structure":
        """The crystal as pymatgen's structure."""
        if isinstance(self.given, Crystal):
            return self.given.to_structure()
        return self.given

    @cached_property
    def crystal(self) -> Crystal:
        """The crystal as arrays."""
        return Crystal.from_structure(self.given)


@dataclass(frozen=True)
class SkippedStructure:
    """A crystal that cannot be used: a row in the report, never a silent gap."""

    id: str
    reason: str
    """What was read, what was allowed, and what to do, in one sentence."""
