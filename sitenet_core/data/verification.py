"""That a store's bytes are those that were written: looked at once per machine.

Opening a store checks its header and the sizes of its files; reading every byte takes a
second per gigabyte or two. So the first use of a store on a machine reads it, and
leaves a stamp with the size, times and number of each file. As long as these stay the
same, nobody has written to the files since: the time of the last modification can be
set back, that of the last change of status cannot.
"""

import json
import uuid
from pathlib import Path
from typing import Any

from sitenet_core.data.store import PackedStore
from sitenet_core.data.workspace import host_name

PREFIX = ".verified-"


def open_verified(path: Path) -> PackedStore:
    """Return the store at `path`, whose bytes are those that were written.

    Raises:
        StoreError: as `PackedStore.open` and `ensure_verified`.
    """
    store = PackedStore.open(path)
    ensure_verified(store)
    return store


def ensure_verified(store: PackedStore) -> None:
    """Compare every byte of `store` with its checksums, unless that was done before.

    Where the stamp cannot be written, the store is read each time.

    Raises:
        StoreError: names the files whose bytes were changed.
    """
    stamp = store.path / f"{PREFIX}{host_name()}.json"
    before = _state(store)
    if _read(stamp) == before:
        return
    store.verify()
    _write(stamp, before)


def _state(store: PackedStore) -> dict[str, Any]:
    status = {name: (store.path / name).stat() for name in store.header.files}
    files = {
        name: [s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino]
        for name, s in status.items()
    }
    return {"digest": store.digest, "files": files}


def _read(stamp: Path) -> Any:
    try:
        return json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(stamp: Path, state: dict[str, Any]) -> None:
    # Beside the stamp first: another process may read it at any time.
    draft = stamp.with_name(f"{stamp.name}.{uuid.uuid4().hex[:8]}")
    try:
        draft.write_text(json.dumps(state), encoding="utf-8")
        draft.replace(stamp)
    except OSError:
        draft.unlink(missing_ok=True)
