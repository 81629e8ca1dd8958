"""What the machine lets this process use."""

import os


def available_cpus() -> int:
    """Return how many CPUs this process may use.

    That is fewer than the machine has where a scheduler or container pins it to some;
    macOS cannot pin, and has no call to ask.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
