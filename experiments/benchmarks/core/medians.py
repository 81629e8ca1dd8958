"""The medians of the repeated measurements of a run."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Medians:
    """Results by name, failed ones left out."""

    runs: dict[str, list[dict[str, Any]]]

    @classmethod
    def read(cls, path: Path) -> "Medians":
        """Return the results in a file; none if it is not there."""
        if not path.exists():
            return cls({})
        runs: dict[str, list[dict[str, Any]]] = json.loads(path.read_text("utf-8"))
        return cls(
            {k: [r for r in found if "error" not in r] for k, found in runs.items()}
        )

    def of(self, name: str, key: str) -> float | None:
        """Return the median of a value; None if it was not measured."""
        values = [r[key] for r in self.runs.get(name, []) if r.get(key) is not None]
        return statistics.median(values) if values else None

    def count(self, name: str) -> int:
        """Return how often it was measured."""
        return len(self.runs.get(name, []))

    def ratio(self, one: str, other: str, key: str) -> float | None:
        """Return the median of `one` over that of `other`."""
        above, below = self.of(one, key), self.of(other, key)
        return above / below if above is not None and below else None

    def last(self, name: str) -> dict[str, Any]:
        """Return one result whole; empty if it was not measured."""
        found = self.runs.get(name)
        return found[-1] if found else {}
