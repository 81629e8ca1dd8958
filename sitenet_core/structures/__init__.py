"""Crystal structures: reading, checking, cells, distances, sources, grouping.

The names below are imported when they are first used, so that a module that needs one
of them (`sitenet_core.structures.record`) does not load pymatgen's and pyarrow's parts
for all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sitenet_core.structures.checks import check_structure
    from sitenet_core.structures.grouping import composition_key, prototype_key
    from sitenet_core.structures.read import (
        is_structure_file,
        read_structure,
        structure_from_text,
    )
    from sitenet_core.structures.record import SkippedStructure, StructureRecord
    from sitenet_core.structures.sources import RawItem, Source, decode, open_source

_HOMES = {
    "RawItem": "sources",
    "SkippedStructure": "record",
    "Source": "sources",
    "StructureRecord": "record",
    "check_structure": "checks",
    "composition_key": "grouping",
    "decode": "sources",
    "is_structure_file": "read",
    "open_source": "sources",
    "prototype_key": "grouping",
    "read_structure": "read",
    "structure_from_text": "read",
}

__all__ = [
    "RawItem",
    "SkippedStructure",
    "Source",
    "StructureRecord",
    "check_structure",
    "composition_key",
    "decode",
    "is_structure_file",
    "open_source",
    "prototype_key",
    "read_structure",
    "structure_from_text",
]


def __getattr__(name: str) -> Any:
    """Return an exported name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
