"""Whether one crystal's arrays are what its schema declares, and their stored form."""

from collections.abc import Sequence

import numpy as np

from sitenet_core.data.schema import CRYSTAL, ArraySpec, FeatureArrays
from sitenet_core.errors import StructureError


def conform(
    schema: Sequence[ArraySpec], arrays: FeatureArrays
) -> dict[str, np.ndarray]:
    """Return `arrays` in the order, shapes and types of `schema`.

    Every array of the result has its scope as first axis; one of crystal scope, which
    may come without that axis, has one row. Numbers are narrowed to the declared type
    only where they fit; nothing wraps and nothing becomes infinite.

    Raises:
        StructureError: if names, shapes, row counts, kinds or ranges differ from the
            schema, or a number is not finite.
    """
    _check_names(schema, arrays)
    result: dict[str, np.ndarray] = {}
    rows: dict[str, tuple[str, int]] = {CRYSTAL: ("the crystal", 1)}
    for spec in schema:
        values = _with_rows(spec, np.asarray(arrays[spec.name]))
        first, expected = rows.setdefault(spec.scope, (spec.name, len(values)))
        if len(values) != expected:
            raise StructureError(
                f"array {spec.name!r} has {len(values)} rows, but {first!r} of the"
                f" same scope {spec.scope!r} has {expected}"
            )
        result[spec.name] = _narrowed(spec, values)
    return result


def stored_dtype(spec: ArraySpec) -> np.dtype:
    """Return the type of `spec` on disk: little-endian whatever the machine."""
    return np.dtype(spec.dtype).newbyteorder("<")


def _check_names(schema: Sequence[ArraySpec], arrays: FeatureArrays) -> None:
    declared = {spec.name for spec in schema}
    if declared != set(arrays):
        missing = sorted(declared - set(arrays))
        unknown = sorted(set(arrays) - declared)
        raise StructureError(
            f"the arrays are not those of the schema: {missing=}, {unknown=}"
        )


def _with_rows(spec: ArraySpec, values: np.ndarray) -> np.ndarray:
    if spec.scope == CRYSTAL and values.shape == spec.shape:
        return values[np.newaxis]
    if values.ndim != 1 + len(spec.shape) or values.shape[1:] != spec.shape:
        raise StructureError(
            f"array {spec.name!r} has shape {values.shape}; the schema declares rows of"
            f" shape {spec.shape}"
        )
    return values


def _narrowed(spec: ArraySpec, values: np.ndarray) -> np.ndarray:
    target = stored_dtype(spec)
    kinds = {"i": "iu", "u": "iu", "f": "f", "b": "b"}[target.kind]
    if values.dtype.kind not in kinds:
        raise StructureError(
            f"array {spec.name!r} is of type {values.dtype}; the schema declares"
            f" {spec.dtype}"
        )
    if values.dtype == target:
        narrowed = np.ascontiguousarray(values)
    else:
        narrowed = _converted(spec, values, target)
    if target.kind == "f" and not np.isfinite(narrowed).all():
        raise StructureError(
            f"array {spec.name!r} holds a number that is not finite as {spec.dtype}"
        )
    return narrowed


def _converted(spec: ArraySpec, values: np.ndarray, target: np.dtype) -> np.ndarray:
    if target.kind in "iu" and values.size:
        low, high = int(values.min()), int(values.max())
        limits = np.iinfo(target)
        if low < limits.min or high > limits.max:
            raise StructureError(
                f"array {spec.name!r} holds values from {low} to {high}; {spec.dtype}"
                f" takes {limits.min} to {limits.max}"
            )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values.astype(target))
