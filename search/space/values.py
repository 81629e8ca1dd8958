"""What a configuration holds: one plain value per dotted key."""

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator

Value = bool | int | float | str | None
"""A value of a configuration as it stands in YAML and in the journal."""

FlatConfiguration = Mapping[str, Value]
"""Dotted key (`model.attention_weights.depth`) → value, one entry for every parameter
of the space. A conditional parameter that is inactive is present with value None."""


def identity(flat: FlatConfiguration) -> frozenset[tuple[str, bool, Value]]:
    """Return what configurations with the very same values share, and no others.

    As everywhere, 1 and 1.0 are the same, 1 and true are not.
    """
    return frozenset((name, isinstance(v, bool), v) for name, v in flat.items())


def single_value(value: object) -> object:
    """Return `value`, or say in one sentence what pydantic says once per type."""
    if not isinstance(value, Value):
        raise ValueError(f"a single value was expected (found {value!r})")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number was expected")
    return value


DeclaredValue = Annotated[Value, BeforeValidator(single_value)]
"""A value as a file declares it."""


def spoken(value: Value) -> str:
    """Return `value` as a space file writes it: null, true."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
