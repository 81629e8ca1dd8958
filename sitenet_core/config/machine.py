"""What the machine lets this process use."""

import os
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_ROOT = Path("/")


def available_cpus() -> int:
    """Return how many CPUs this process may use.

    That is fewer than the machine has where a scheduler or container pins it to some;
    macOS cannot pin, and has no call to ask.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory(root: Path = _ROOT) -> int | None:
    """Return the bytes that new processes can use here; None where nobody says.

    The least of what the machine has left and what each control group above this
    process has left, pages that can be given back counted as left.

    Args:
        root: of the file system, for tests.
    """
    left = [_meminfo(root), *(group.left() for group in _groups(root))]
    known = [bytes_ for bytes_ in left if bytes_ is not None]
    return max(0, min(known)) if known else None


def oom_kills(root: Path = _ROOT) -> int | None:
    """Return how many processes of this control group were killed for their memory.

    The kernel's own count, by whichever limit; None where it does not count.

    Args:
        root: of the file system, for tests.
    """
    counts = (group.kills() for group in _groups(root))
    return next((count for count in counts if count is not None), None)


@dataclass(frozen=True)
class _Group:
    """A control group of this process: its folder and the names of its files."""

    folder: Path
    limit: str
    used: str
    reclaimable: str
    """Key in `memory.stat`."""
    events: str

    def left(self) -> int | None:
        """Return the bytes below the limit; None without one."""
        limit, used = (_number(self.folder / name) for name in (self.limit, self.used))
        if limit is None or used is None:
            return None
        given_back = _value(self.folder / "memory.stat", self.reclaimable) or 0
        return limit - used + given_back

    def kills(self) -> int | None:
        """Return the number of kills."""
        return _value(self.folder / self.events, "oom_kill")


def _groups(root: Path) -> list[_Group]:
    """Return the control groups of this process, its own first, then those above."""
    text = _read(root / "proc/self/cgroup") or ""
    found: list[_Group] = []
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = "memory.limit_in_bytes", "memory.usage_in_bytes"
            more = "total_inactive_file", "memory.oom_control"
        elif number == "0" and not controllers:
            base = root / "sys/fs/cgroup"
            names = "memory.max", "memory.current"
            more = "inactive_file", "memory.events"
        else:
            continue
        own = base / path.lstrip("/")
        # Inside a container the path may be one of outside: then only the base is here.
        folders = [own, *own.parents] if own.is_dir() else [base]
        found += [_Group(f, *names, *more) for f in folders if f.is_relative_to(base)]
    return found


def _meminfo(root: Path) -> int | None:
    kib = _value(root / "proc/meminfo", "MemAvailable:")
    return None if kib is None else kib * _KIB


def _value(path: Path, key: str) -> int | None:
    """Return the number behind `key` in a file of such lines."""
    for line in (_read(path) or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == key and words[1].isdigit():
            return int(words[1])
    return None


def _number(path: Path) -> int | None:
    text = (_read(path) or "").strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
