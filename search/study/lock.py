"""One driver per study: a lock of the operating system that names its owner."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sitenet_core.errors import InfrastructureError, StudyInUseError


@dataclass(frozen=True)
class Owner:
    """The driver that holds, or held, a study."""

    pid: int
    host: str
    time: str
    """ISO 8601, UTC: when it took the lock."""

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this machine that no longer exists."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


@contextmanager
def study_lock(path: Path) -> Iterator[Owner]:
    """Hold the lock file `path`; the system releases it when this process dies.

    A lock whose owner died on this machine is taken over, even where a child of the
    dead driver still keeps the file open.

    Raises:
        StudyInUseError: if another driver holds it; the message names it.
        InfrastructureError: if the file system has no locks.
    """
    descriptor = _acquire(path)
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        owner = Owner(os.getpid(), socket.gethostname(), now)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(owner)).encode(), 0)
        os.fsync(descriptor)
        yield owner
    finally:
        os.close(descriptor)


def lock_owner(path: Path) -> Owner | None:
    """Return who last took the lock; None if nobody can be told from the file."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _acquire(path: Path) -> int:
    """Return a descriptor of `path` that holds its lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            held = _try_lock(descriptor, path)
            current = held and _is_still(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if current:
            return descriptor
        os.close(descriptor)
        if not held:
            _remove_if_stale(path)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InfrastructureError(
            f"{path}: this file system cannot lock files ({error.strerror}); put the "
            "study on one that can"
        ) from error
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    """Return whether `path` is the locked file and not a newer one of its name."""
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _remove_if_stale(path: Path) -> None:
    owner = lock_owner(path)
    if owner is not None and owner.is_dead:
        path.unlink(missing_ok=True)
        return
    who = (
        f"process {owner.pid} on {owner.host} since {owner.time}"
        if owner
        else "a driver that is just starting"
    )
    raise StudyInUseError(
        f"{path.parent}: the study is in use by {who}; one driver at a time may run "
        "it: wait for that one, stop it, or choose another name with --name"
    )
