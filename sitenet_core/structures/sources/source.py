"""What a source is: crystals with ids, labels and folds, in a fixed order."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from pymatgen.core import Structure

from sitenet_core.errors import StructureError
from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.checks import check_crystal, check_structure
from sitenet_core.structures.record import SkippedStructure, StructureRecord


@dataclass(frozen=True)
class RawItem:
    """One crystal as its source holds it: cheap to make, to pickle and to send.

    `make(payload)` gives the structure, or its arrays where the source holds such, or
    raises StructureError. It is a function of a module (or a `partial` of one), so that
    a worker process can run it.
    """

    id: str
    """Unique within the source."""
    make: Callable[[Any], Structure | Crystal] | partial[Structure]
    payload: Any
    """What `make` reads: text, a table row, a dictionary."""
    labels: Mapping[str, float] = field(default_factory=dict)
    """Numeric columns by name; NaN where the source has no value."""
    fold: int | None = None
    """Test fold of the source's official split, where it has one."""


class Source(Protocol):
    """A data set. Concrete sources inherit the iteration from here."""

    @property
    def name(self) -> str:
        """What the user called it, for messages and reports."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the label columns; every item has a value (or NaN) for each."""
        ...

    @property
    def has_folds(self) -> bool:
        """Whether items carry the test fold of an official split."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of what decides structures, ids, labels and folds."""
        ...

    def __len__(self) -> int:
        """Return the number of items, unusable ones included."""
        ...

    def items(self) -> Iterator[RawItem]:
        """Return every crystal undecoded, in the source's fixed order.

        Memory stays bounded however large the source is.

        Raises:
            DataError: if the source as a whole cannot be used.
        """
        ...

    def __iter__(self) -> Iterator[StructureRecord | SkippedStructure]:
        """Return every crystal decoded, in the order of `items`."""
        return map(decode, self.items())


def decode(item: RawItem) -> StructureRecord | SkippedStructure:
    """Return the checked crystal of `item`, or the reason why it cannot be used.

    Pure and picklable: worker processes map it over `Source.items()`.
    """
    try:
        given = item.make(item.payload)
        if isinstance(given, Crystal):
            checked: Structure | Crystal = check_crystal(given)
        else:
            checked = check_structure(given)
    except StructureError as error:
        return SkippedStructure(item.id, str(error))
    return StructureRecord(item.id, checked, item.labels, item.fold)
