"""How many CPUs and how much memory a process may use."""

import os
from pathlib import Path

import pytest

from sitenet_core.config.machine import available_cpus, available_memory, oom_kills


def test_only_the_cpus_that_the_process_is_pinned_to_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert available_cpus() == 3


@pytest.mark.parametrize(("counted", "expected"), [(8, 8), (None, 1)])
def test_where_processes_cannot_be_pinned_all_cpus_count(
    monkeypatch: pytest.MonkeyPatch, counted: int | None, expected: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert available_cpus() == expected


def machine(root: Path, group: str, files: dict[str, str]) -> Path:
    """Make the files under `root` that tell of memory; `group` is /proc/self/cgroup."""
    every = {"proc/self/cgroup": group, "proc/meminfo": MEMINFO, **files}
    for name, text in every.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:       8000 kB\nMemAvailable:   5000 kB\n"


def test_without_limits_the_machine_says_what_is_left(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/user\n", {"sys/fs/cgroup/user/memory.max": "max\n"})
    assert available_memory(root) == 5000 * 1024
    assert oom_kills(root) is None
    assert available_memory(tmp_path / "elsewhere") is None


def test_the_tightest_control_group_counts_with_its_cache_given_back(
    tmp_path: Path,
) -> None:
    files = {
        "sys/fs/cgroup/a/memory.max": "3000000\n",
        "sys/fs/cgroup/a/memory.current": "1000000\n",
        "sys/fs/cgroup/a/memory.stat": "anon 9\ninactive_file 500000\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/memory.current": "10\n",
        "sys/fs/cgroup/a/b/memory.events": "low 0\noom 4\noom_kill 3\n",
    }
    root = machine(tmp_path, "0::/a/b\n", files)
    assert available_memory(root) == 2_500_000
    assert oom_kills(root) == 3


def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path) -> None:
    base = "sys/fs/cgroup/memory"
    files = {
        f"{base}/memory.limit_in_bytes": "4000000\n",
        f"{base}/memory.usage_in_bytes": "1500000\n",
        f"{base}/memory.stat": "cache 7\ntotal_inactive_file 100000\n",
        f"{base}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }
    # Of a container: the path is one of the machine outside.
    root = machine(tmp_path, "4:memory:/docker/abc\n0::/\n", files)
    assert available_memory(root) == 2_600_000
    assert oom_kills(root) == 2
