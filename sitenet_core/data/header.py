"""The header of a packed store: what it holds and how to tell that it is whole."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from sitenet_core.config.strict import StrictModel
from sitenet_core.errors import StoreError

SCHEMA_VERSION = 1
"""Raised whenever a store that was written before can no longer be read."""
HEADER_FILE = "header.json"
REPORT_FILE = "report.json"
IDS_FILE = "ids.json"
FORMULAS_FILE = "formulas.json"
REDUCED_FORMULAS_FILE = "reduced_formulas.json"
FOLDS_FILE = "folds.bin"
REMEDY = "delete the folder and build it again with `sitenet data build SOURCE`"


class ArrayEntry(StrictModel):
    """One array of the family's schema: raw values, row after row."""

    name: str
    scope: str
    dtype: str
    """numpy's name, always little-endian."""
    shape: tuple[int, ...]
    """Shape of one row."""
    unit: str
    description: str
    file: str


class FileEntry(StrictModel):
    """Size and checksum of one file."""

    bytes: int
    sha256: str


class StoreHeader(StrictModel):
    """Everything about a store that can be known without reading its arrays."""

    format: Literal["sitenet-store"] = "sitenet-store"
    schema_version: int = SCHEMA_VERSION
    identity: str
    """Digest of what the store was made from; also the name of its folder."""
    source: str
    """What the user called the source; does not count for the digest."""
    source_digest: str
    family: str
    feature_version: int
    settings: dict[str, Any]
    n_crystals: int
    rows: dict[str, int]
    """Rows of each scope, over all crystals."""
    arrays: tuple[ArrayEntry, ...]
    sizes: dict[str, str]
    """File with the rows per crystal, int64, by ragged scope."""
    labels: dict[str, str]
    """File with the values, float64 (NaN: no value), by label column."""
    has_folds: bool
    files: dict[str, FileEntry]
    """Every file but this one."""
    digest: str = ""
    """SHA-256 over this header, and so over the contents of all files."""

    def content_digest(self) -> str:
        """Return the digest that belongs to the other fields."""
        content = self.model_dump(mode="json", exclude={"digest", "source"})
        return canonical_digest(content)

    @property
    def bytes(self) -> int:
        """Size of all files together, this header apart."""
        return sum(entry.bytes for entry in self.files.values())


def canonical_digest(content: Any) -> str:
    """Return the SHA-256 of plain data, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def read_header(folder: Path) -> StoreHeader:
    """Return the header of the store at `folder`.

    Raises:
        StoreError: if the folder is no finished store, is of another schema version, or
            its header was changed.
    """
    content = _read_json(folder)
    version = content.get("schema_version")
    if content.get("format") != "sitenet-store" or not isinstance(version, int):
        raise StoreError(f"{folder}: {HEADER_FILE} is not that of a packed store")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{folder}: the store is of schema version {version}, this program reads"
            f" version {SCHEMA_VERSION}; {REMEDY}"
        )
    try:
        header = StoreHeader.model_validate(content)
    except ValidationError as error:
        raise StoreError(
            f"{folder}: {HEADER_FILE} is damaged ({error.error_count()} wrong or"
            f" missing entries); {REMEDY}"
        ) from error
    if header.digest != header.content_digest():
        raise StoreError(
            f"{folder}: {HEADER_FILE} does not fit its own digest: it was changed after"
            f" the store was built; {REMEDY}"
        )
    return header


def _read_json(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / HEADER_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(
            f"{folder}: {HEADER_FILE} cannot be read ({error.strerror}), so this is no"
            " finished packed store; build one with `sitenet data build SOURCE`"
        ) from error
    except ValueError as error:
        raise StoreError(
            f"{folder}: {HEADER_FILE} is not JSON ({error}); {REMEDY}"
        ) from error
    if not isinstance(content, dict):
        raise StoreError(f"{folder}: {HEADER_FILE} is not a JSON object; {REMEDY}")
    return content
