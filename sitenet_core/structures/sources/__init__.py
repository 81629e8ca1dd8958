"""Data sets: crystals with ids, labels and official folds."""

from sitenet_core.structures.sources.opening import find_source, open_source
from sitenet_core.structures.sources.source import RawItem, Source, decode

__all__ = ["RawItem", "Source", "decode", "find_source", "open_source"]
