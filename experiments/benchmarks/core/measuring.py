"""What a process has used: processor seconds, resident memory, page faults."""

import resource
from pathlib import Path

TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""glibc keeps freed memory instead of giving every large tensor back to the system."""

_KIB = 1024
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def cpu_seconds() -> float:
    """Return the processor seconds of this process and of its ended children."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, _CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def page_faults() -> int:
    """Return the page faults of this process that needed no disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def resident_bytes() -> int:
    """Return what is resident in memory now."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """Return the most that was resident since the start, or since `reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Make what is resident now the peak."""
    _CLEAR.write_text("5", encoding="ascii")


def _status(key: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * _KIB
    raise RuntimeError(f"{_STATUS}: no {key}; these measurements need Linux")


_CHILDREN = resource.RUSAGE_CHILDREN
