"""What the journal says of a trial and no metric can, as one tag of its run.

A curve does not tell where the rungs are, nor which of its epochs belong to one level
of the fidelity; a parameter of MLflow is a text that cannot be changed once it is
written, and an edit of the study changes configurations. The tag has both as they are.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from search.journal.records import TrialRecord
from search.space.values import FlatConfiguration, Value

RECORD_TAG = "sitenet.record"
_LONGEST = 5000
"""Characters that servers of MLflow of every age take in a tag."""
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class ToldRecord:
    """What the tag of a trial says."""

    rung_values: Mapping[int, float]
    """As in `TrialRecord`."""
    configuration: FlatConfiguration | None
    """None where it is too long for a tag; the run's parameters tell it then."""


def record_text(trial: TrialRecord) -> str:
    """Return the text of the tag of `trial`."""
    rungs = {str(r): value for r, value in sorted(trial.rung_values.items())}
    whole = json.dumps({"rungs": rungs, "configuration": dict(trial.configuration)})
    return whole if len(whole) <= _LONGEST else json.dumps({"rungs": rungs})


def read_record(text: str) -> ToldRecord:
    """Return what `record_text` wrote.

    Raises:
        ValueError: if it was not written by that; the message says what is wrong.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or not isinstance(content.get("rungs"), dict):
        raise ValueError("it has no `rungs`")
    rungs = {int(rung): value for rung, value in content["rungs"].items()}
    for rung, value in rungs.items():
        if not isinstance(value, int | float) or not _is_finite(value):
            raise ValueError(f"rung {rung} has the value {value!r:.80}")
    flat = content.get("configuration")
    if flat is None:
        return ToldRecord(rungs, None)
    if not isinstance(flat, dict):
        raise ValueError("its `configuration` is no mapping")
    for name, value in flat.items():
        if value is not None and not (isinstance(value, _PLAIN) and _is_finite(value)):
            raise ValueError(f"{name} has the value {value!r:.80}")
    return ToldRecord(rungs, flat)


def _is_finite(value: Value) -> bool:
    """Return whether a float can hold a value, if it is a number."""
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:
        return False
