"""Kills, races and leftovers of builds that run as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.toy_store import (
    DELAY,
    ToySource,
    build_toy,
    featurise_and_die,
    mixed,
    toy_recipe,
    toys,
)

from sitenet_core.data import (
    BuildOptions,
    BuildProgress,
    PackedStore,
    build_store,
    list_stores,
    workspace,
)
from sitenet_core.errors import InfrastructureError, StoreError

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def builder(
    root: Path, n: int, workers: int, delay: float
) -> Iterator[subprocess.Popen[str]]:
    """Run the toy builder as a program; it is gone when the block ends."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-m", "support.toy_store", str(root), str(n), str(workers)],
        env=os.environ | {"PYTHONPATH": paths, DELAY: str(delay)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_killed_build_leaves_no_store_and_the_next_one_succeeds(
    tmp_path: Path,
) -> None:
    with builder(tmp_path, n=600, workers=2, delay=0.05) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["read"] < 600
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with pytest.raises(StoreError, match="no finished packed store"):
        PackedStore.open(left)
    (summary,) = list_stores(tmp_path)
    assert summary.problem is not None
    assert "gone" in summary.problem
    deadline = time.monotonic() + 10
    while any(map(running, said["workers"])) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(said["workers"]) == 2
    assert not any(map(running, said["workers"]))

    store = build_toy(tmp_path, mixed(600))
    assert store.report.n_read == 600
    assert [entry.name for entry in tmp_path.iterdir()] == [store.path.name]


def test_two_builders_at_once_leave_one_store(tmp_path: Path) -> None:
    with (
        builder(tmp_path, n=150, workers=1, delay=0.005) as first,
        builder(tmp_path, n=150, workers=1, delay=0.005) as second,
    ):
        for process in (first, second):
            errors = process.communicate(timeout=60)[1]
            assert process.returncode == 0, errors
    (path,) = tmp_path.iterdir()
    store = PackedStore.open(path)
    store.verify()
    assert store.report.n_read == 150


def test_the_builder_that_comes_second_uses_the_firsts_store(tmp_path: Path) -> None:
    source, recipe, options = ToySource(toys(10)), toy_recipe(), BuildOptions(tmp_path)
    stamps: list[int] = []

    def overtake(_progress: BuildProgress) -> None:
        build_store(source, recipe, options)
        (path,) = (p for p in tmp_path.iterdir() if p.name[0] != ".")
        stamps.append(path.stat().st_ino)

    report = build_store(source, recipe, options, overtake)
    assert report.n_stored == 10
    (path,) = tmp_path.iterdir()
    assert stamps == [path.stat().st_ino]


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(_progress: BuildProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(
            ToySource(toys(100)), toy_recipe(), BuildOptions(tmp_path), interrupt
        )
    assert list(tmp_path.iterdir()) == []


def folder_of(root: Path, host: str, pid: int, start: str) -> Path:
    folder = root / f"{workspace.PREFIX}{'0' * 32}-{host}-{pid}-{start}-abcdef01"
    folder.mkdir()
    return folder


def test_only_folders_whose_builder_is_gone_are_removed(tmp_path: Path) -> None:
    own = workspace.claim(tmp_path, "0" * 32)
    host = own.name.split("-")[2]
    reused = folder_of(tmp_path, host, os.getpid(), "12345")
    elsewhere = folder_of(tmp_path, "other_host", 1, "1")
    old = folder_of(tmp_path, "old_host", 1, "1")
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    assert set(workspace.clean_stale(tmp_path, "1" * 32)) == {reused, old}
    assert own.is_dir()
    assert elsewhere.is_dir()
    assert not reused.exists()
    assert not old.exists()


def test_a_worker_that_dies_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    recipe = toy_recipe(featurise_and_die)
    with pytest.raises(InfrastructureError, match=r"worker processes died.*fewer"):
        build_store(ToySource(toys(40)), recipe, BuildOptions(tmp_path, workers=2))
    assert list(tmp_path.iterdir()) == []
