"""What packed stores there are below a folder, damaged ones included."""

from dataclasses import dataclass
from pathlib import Path

from sitenet_core.data.header import StoreHeader
from sitenet_core.data.store import PackedStore
from sitenet_core.data.workspace import PREFIX, is_alive
from sitenet_core.errors import StoreError


@dataclass(frozen=True)
class StoreSummary:
    """One folder below a store root."""

    path: Path
    header: StoreHeader | None
    """None where the folder cannot be used as a store."""
    problem: str | None
    """Why it cannot be used, and what to do."""


def list_stores(root: Path) -> list[StoreSummary]:
    """Return every store below `root` by name, also those that cannot be used.

    An unfinished build is listed as one that cannot be used. A root that does not
    exist has no stores.
    """
    if not root.is_dir():
        return []
    return [_summary(folder) for folder in sorted(root.iterdir()) if folder.is_dir()]


def _summary(folder: Path) -> StoreSummary:
    if folder.name.startswith(PREFIX):
        alive = is_alive(folder)
        gone = "gone: building the same store again goes on from there"
        state = "at work" if alive else gone
        return StoreSummary(folder, None, f"unfinished; its builder is {state}")
    try:
        return StoreSummary(folder, PackedStore.open(folder).header, None)
    except StoreError as error:
        return StoreSummary(folder, None, str(error))
