"""A split: which crystals are trained, validated and tested on, as a file."""

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from sitenet_core.config.data import SplitConfig
from sitenet_core.config.strict import StrictModel
from sitenet_core.data.header import canonical_digest
from sitenet_core.errors import DataError

SPLIT_VERSION = 1


class ExcludedRow(StrictModel):
    """A crystal of the store that is in no part of the split."""

    id: str
    reason: str


class Split(StrictModel):
    """Ids of each part, sorted, and what made them; saved with a study and a bundle."""

    version: Literal[1] = 1
    column: str
    """Target column; only crystals with a value in it are in the split."""
    config: SplitConfig
    cell_limit: int
    """Largest primitive cell, in sites, in `train` and `validation`."""
    store_digest: str
    """Store that the ids were taken from."""
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    excluded: tuple[ExcludedRow, ...] = ()
    """Sorted by id."""

    @property
    def digest(self) -> str:
        """SHA-256 of which crystals are in which part, and of nothing else."""
        parts = [list(part) for part in (self.train, self.validation, self.test)]
        return canonical_digest(parts)

    def save(self, path: Path) -> None:
        """Write the split as JSON, at once and complete."""
        content = self.model_dump(mode="json", exclude={"excluded"})
        reasons: dict[str, list[str]] = {}
        for row in self.excluded:
            reasons.setdefault(row.reason, []).append(row.id)
        content |= {"digest": self.digest, "excluded": reasons}
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text(
            json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        unfinished.replace(path)


def load_split(path: Path) -> Split:
    """Return the split that `Split.save` wrote to `path`.

    Raises:
        DataError: if the file cannot be read, is of another version, or was changed.
    """
    content = _read(path)
    if content.get("version") != SPLIT_VERSION:
        raise DataError(
            f"{path}: a split of version {content.get('version')!r}; this program reads"
            f" version {SPLIT_VERSION}. Make the split again, in a new study folder"
        )
    digest = content.pop("digest", None)
    try:
        content["excluded"] = [
            {"id": name, "reason": reason}
            for reason, names in content.get("excluded", {}).items()
            for name in names
        ]
        content["excluded"].sort(key=lambda row: row["id"])
        split = Split.model_validate(content)
    except (ValidationError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path}: is not a split as it was saved; restore the file"
        ) from error
    if split.digest != digest:
        raise DataError(
            f"{path}: the ids do not fit the file's digest: it was changed after the"
            " split was made; restore the file"
        )
    return split


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a split: a JSON object was expected")
    return content
