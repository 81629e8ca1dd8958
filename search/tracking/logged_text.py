"""Parameters that MLflow holds as text, whoever logged them, as values."""

import math
import re
from collections.abc import Mapping

from search.space.values import Value

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS: dict[str, Value] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
}
_LONGEST = 64
"""Characters of a number; nobody writes a longer one, and long ones take long."""


def logged_value(text: str) -> Value:
    """Return the value that JSON or Python writes as `text`; else the text itself.

    A number that no float can hold, NaN included, stays a text: no parameter of a
    space has such a value.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST or _NUMBER.fullmatch(text) is None:
        return text
    if text.lstrip("+-").isdigit():
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else text


def logged_configuration(params: Mapping[str, str]) -> dict[str, Value]:
    """Return dotted key → value of a run's parameters; null ones are absent.

    Lightning's logger joins the keys of nested settings by a slash; the dotted key
    counts if a run has both.
    """
    found: dict[str, Value] = {}
    for name in sorted(params, key=lambda name: "/" not in name):
        value = logged_value(params[name])
        if value is not None:
            found[name.replace("/", ".")] = value
    return found
