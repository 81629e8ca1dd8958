"""Unfinished stores: folders that cannot be taken for a store until they are renamed.

A builder works in `.building-IDENTITY-HOST-PID-START-TOKEN` beside the finished stores
and renames that folder once it is complete. START is when the process started, so that
a process number that was given out again is not taken for the owner. The next builder
of the same store takes over the folder of one that is gone, by renaming it.
"""

import os
import re
import shutil
import socket
import time
import uuid
from pathlib import Path

from sitenet_core.data.progress import PROGRESS_FILE
from sitenet_core.durable import sync_folder
from sitenet_core.errors import InfrastructureError

PREFIX = ".building-"
_ABANDONED_SECONDS = 24 * 3600
"""A folder of another host counts as abandoned when untouched for this long."""
_KEPT_SECONDS = 7 * 24 * 3600
"""How long what a dead builder left is kept while other stores are built."""
_RELEASED = "released"


def claim(root: Path, identity: str) -> Path:
    """Return a new folder of this process's own below `root`.

    Raises:
        InfrastructureError: if it cannot be made.
    """
    folder = root / _own_name(identity)
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise InfrastructureError(
            f"{root}: stores cannot be built there ({error.strerror}); name a folder"
            " that can be written with SITENET_STORES"
        ) from error
    return folder


def take_over(root: Path, identity: str) -> Path | None:
    """Return the folder of a dead builder of this host, now this process's own.

    It is the one with the longest record of progress; None if there is none.
    """
    left = [f for f in root.glob(f"{PREFIX}{identity}-*") if _is_left(f)]
    for folder in sorted(left, key=_recorded, reverse=True):
        own = root / _own_name(identity)
        try:
            # Atomic: of two builders that want it, one does not find it any more.
            folder.rename(own)
        except OSError:
            continue
        return own
    return None


def release(folder: Path) -> None:
    """Leave an unfinished folder to whoever builds the store next."""
    identity = folder.name.removeprefix(PREFIX).split("-")[0]
    if _recorded(folder):
        # No process has started at that time, so that the folder has no owner.
        name = f"{PREFIX}{identity}-{host_name()}-1-{_RELEASED}-{uuid.uuid4().hex[:8]}"
        folder.rename(folder.with_name(name))


def publish(folder: Path, final: Path) -> bool:
    """Rename a complete `folder` to `final`; False if another builder was first.

    Raises:
        InfrastructureError: if the disk refuses for another reason.
    """
    try:
        # Atomic, and refused by the system where `final` has anything in it.
        folder.rename(final)
    except OSError as error:
        if final.is_dir():
            return False
        raise InfrastructureError(
            f"{final}: the finished store cannot be put there ({error.strerror})"
        ) from error
    sync_folder(final.parent)
    return True


def clean_stale(root: Path, identity: str) -> list[Path]:
    """Remove the folders of builders that are gone; return what was removed.

    One of another store than `identity` that can be gone on from is kept for a week.
    """
    stale = [f for f in root.glob(f"{PREFIX}*") if f.is_dir() and not is_alive(f)]
    own = f"{PREFIX}{identity}-"
    stale = [f for f in stale if f.name.startswith(own) or not _is_worth_keeping(f)]
    for folder in stale:
        # Another builder may be removing the same one.
        shutil.rmtree(folder, ignore_errors=True)
    return stale


def _is_left(folder: Path) -> bool:
    """Return whether a folder can be gone on from.

    One of another host cannot: its builder may have been silent for a day and write on.
    """
    parts = folder.name.removeprefix(PREFIX).split("-")
    same_host = len(parts) == 5 and parts[1] == host_name()
    return same_host and not is_alive(folder) and _recorded(folder) > 0


def _recorded(folder: Path) -> int:
    """Return the length of a folder's record of progress, 0 without one."""
    try:
        return (folder / PROGRESS_FILE).stat().st_size
    except OSError:
        return 0


def _is_worth_keeping(folder: Path) -> bool:
    try:
        touched = (folder / PROGRESS_FILE).stat().st_mtime
    except OSError:
        return False
    return _is_left(folder) and time.time() - touched < _KEPT_SECONDS


def is_alive(folder: Path) -> bool:
    """Return whether the builder of an unfinished `folder` may still be at work."""
    parts = folder.name.removeprefix(PREFIX).split("-")
    if len(parts) == 5 and parts[1] == host_name() and parts[2].isdigit():
        pid, start = int(parts[2]), parts[3]
        return _exists(pid) and _process_start(pid) == start
    try:
        touched = max(f.stat().st_mtime for f in [folder, *folder.iterdir()])
    except OSError:
        return False
    return time.time() - touched < _ABANDONED_SECONDS


def _own_name(identity: str) -> str:
    pid = os.getpid()
    owner = f"{host_name()}-{pid}-{_process_start(pid)}"
    return f"{PREFIX}{identity}-{owner}-{uuid.uuid4().hex[:8]}"


def host_name() -> str:
    """Return the name of this machine, fit for the name of a file."""
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _process_start(pid: int) -> str:
    """Return when a process started, in ticks since boot; 0 where it is unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return "0"
    # Field 22, counted behind the command's name, which may hold spaces.
    return text.rpartition(")")[2].split()[19]
