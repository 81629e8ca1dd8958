"""One line of a table of predictions."""

from dataclasses import dataclass
from typing import Literal

COLUMNS = ("id", "prediction", "unit", "status", "reason")
"""Columns of every table of predictions, in order; also the fields of a row."""


@dataclass(frozen=True)
class PredictionRow:
    """The prediction for one structure, or why there is none."""

    id: str
    prediction: float | None
    """In `unit`; None if the prediction failed."""
    unit: str
    status: Literal["ok", "failed"]
    reason: str
    """Empty if the prediction worked."""
