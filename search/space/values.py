"""What a configuration holds: one plain value per dotted key."""

from collections.abc import Mapping

Value = bool | int | float | str | None
"""A value of a configuration as it stands in YAML and in the journal."""

FlatConfiguration = Mapping[str, Value]
"""Dotted key (`model.attention_weights.depth`) → value, one entry for every parameter
of the space. A conditional parameter that is inactive is present with value None."""
