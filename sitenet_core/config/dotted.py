"""Nested mappings and their dotted keys (`model.attention_weights.depth`)."""

from collections.abc import Mapping
from typing import Any


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return one dotted key per leaf of `nested`; an empty mapping has no leaf."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{path}."))
        else:
            flat[path] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested mapping whose leaves are the dotted keys of `flat`.

    Raises:
        ValueError: if a key is both a leaf and a section (`a` and `a.b`).
    """
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *sections, leaf = path.split(".")
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ValueError(f"{path!r}: {section!r} is a value, not a section")
        if isinstance(node.get(leaf), dict):
            raise ValueError(f"{path!r} is a section, not a value")
        node[leaf] = value
    return nested


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the leaves of `changes` laid over it, both nested."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged
