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
    namespace: str = ""
    """Of process numbers: two containers of one host name do not share theirs."""
    born: str = ""
    """When the process began, as the system counts; tells a number that was reused."""

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this machine that no longer exists."""
        if self.host != socket.gethostname():
            return False
        if self.namespace not in {"", _namespace()}:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return bool(self.born) and self.born != _born(self.pid)


@contextmanager
def study_lock(path: Path) -> Iterator[Owner]:
    """Hold the lock file `path`; the system releases it when this process dies.

    A lock whose owner died on this machine is taken over, even where a child of the
    dead driver still keeps the file open.

    Raises:
        StudyInUseError: if another driver holds it; the message names it.
        InfrastructureError: if the file system has no locks.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    owner = Owner(pid, socket.gethostname(), now, _namespace(), _born(pid))
    with _taking_turns(path):
        descriptor = _acquire(path)
        try:
            _sign(descriptor, owner)
        except BaseException:
            os.close(descriptor)
            raise
    try:
        yield owner
    finally:
        os.close(descriptor)


def lock_owner(path: Path) -> Owner | None:
    """Return who last took the lock; None if nobody can be told from the file."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _namespace() -> str:
    try:
        return Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""


def _born(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


@contextmanager
def _taking_turns(path: Path) -> Iterator[None]:
    """Let one process at a time look at the lock, take it over and sign it.

    Otherwise, of two that find the same dead owner, the slower one would remove the
    lock file that the faster one has just made and holds.
    """
    turns = path.with_name(f".{path.name}.turns")
    descriptor = os.open(turns, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise _no_locks(turns, error) from error
        yield
    finally:
        os.close(descriptor)


def _sign(descriptor: int, owner: Owner) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(owner)).encode(), 0)
    os.fsync(descriptor)


def _no_locks(path: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"{path}: this file system cannot lock files ({error.strerror}); put the "
        "study on one that can"
    )


def _acquire(path: Path) -> int:
    """Return a descriptor of `path` that holds its lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            held = _try_lock(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if held:
            return descriptor
        os.close(descriptor)
        _remove_if_stale(path)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _no_locks(path, error) from error
    return True


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
        f"{path.parent}: the study is in use by {who}; one driver at a time may "
        "work on it: wait for that one, or stop it (`sitenet search run` can begin "
        "another study with --name)"
    )
