"""Builds that go on where an earlier one was killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from support.toy_store import (
    DELAY,
    RECORD,
    ToySettings,
    ToySource,
    featurise_and_die_late,
    featurise_toy,
    mixed,
    toy_recipe,
)

from sitenet_core.data import (
    BuildOptions,
    BuildProgress,
    PackedStore,
    build_store,
    list_stores,
    store_path,
    workspace,
    writer,
)
from sitenet_core.data.progress import PROGRESS_FILE, read_progress
from sitenet_core.errors import DataError, InfrastructureError, StoreError

ROOT = Path(__file__).resolve().parents[3]
N = 640
CALLS: list[int] = []


def counted(structure: Structure, settings: ToySettings) -> dict[str, np.ndarray]:
    CALLS.append(1)
    return featurise_toy(structure, settings)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    monkeypatch.setattr(writer, "RECORD_SECONDS", 0.0)


@contextmanager
def builder(root: Path, workers: int = 1) -> Iterator[subprocess.Popen[str]]:
    """Run the builder of `mixed(N)` as a program; it is gone when the block ends."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-m", "support.toy_store", str(root), str(N), str(workers)],
        env=os.environ | {"PYTHONPATH": paths, DELAY: "0.002", RECORD: "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def finish(root: Path, source: ToySource) -> tuple[PackedStore, list[BuildProgress]]:
    """Build in this process, counting; return the store and what was said."""
    said: list[BuildProgress] = []
    recipe = toy_recipe(counted)
    build_store(source, recipe, BuildOptions(root), said.append)
    store = PackedStore.open(store_path(source, recipe, root))
    store.verify()
    return store, said


def contents(store: PackedStore) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in store.path.iterdir()}


def stopped(root: Path, source: ToySource, at: int, error: BaseException) -> None:
    """Build until `at` crystals are read, and an error comes up."""

    def stop(progress: BuildProgress) -> None:
        if progress.n_read >= at:
            raise error

    with pytest.raises(type(error)):
        build_store(source, toy_recipe(), BuildOptions(root), stop)


def interrupted(root: Path, source: ToySource, at: int) -> Path:
    """Build until `at` crystals are read; return the folder that is left."""
    stopped(root, source, at, KeyboardInterrupt())
    (left,) = root.iterdir()
    return left


@pytest.mark.parametrize(("seed", "workers"), [(0, 1), (1, 2)])
def test_a_build_that_is_killed_again_and_again_ends_like_an_undisturbed_one(
    tmp_path: Path, seed: int, workers: int
) -> None:
    rng = random.Random(seed)
    seen = [0]
    for _ in range(2):
        with builder(tmp_path / "killed", workers) as process:
            assert process.stdout is not None
            for _ in range(rng.randint(2, 5)):
                said = json.loads(process.stdout.readline())
            # not at a line's end: anywhere in what comes behind it
            time.sleep(rng.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        seen.append(said["read"])
        (left,) = (tmp_path / "killed").iterdir()
        with pytest.raises(StoreError, match="no finished packed store"):
            PackedStore.open(left)
        (summary,) = list_stores(tmp_path / "killed")
        assert summary.problem is not None
        assert "goes on from there" in summary.problem
    assert seen == sorted(set(seen))

    resumed, progress = finish(tmp_path / "killed", mixed(N))
    n_resumed = progress[0].n_resumed
    # what the last builder said it had read was recorded before
    assert n_resumed >= seen[-1] - 1
    assert progress[0].n_read == n_resumed
    assert {p.n_resumed for p in progress} == {n_resumed}
    failing = [i for i in range(7, N, 40) if i >= n_resumed]
    assert len(CALLS) == N - n_resumed - len(failing)
    whole, _ = finish(tmp_path / "whole", mixed(N))
    assert resumed.digest == whole.digest
    assert contents(resumed) == contents(whole)
    assert [p.name for p in (tmp_path / "killed").iterdir()] == [resumed.path.name]


@pytest.mark.parametrize(
    ("error", "n_resumed"),
    [
        (KeyboardInterrupt(), 320),
        (SystemExit(1), 320),
        (InfrastructureError("the disk"), 320),
        (DataError("the data set"), None),
        (ZeroDivisionError("nobody knows"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_is_not_the_fault_of_the_data_can_be_gone_on_from(
    tmp_path: Path, error: BaseException, n_resumed: int | None
) -> None:
    stopped(tmp_path, mixed(N), 320, error)
    assert len(list(tmp_path.iterdir())) == (n_resumed is not None)
    _, progress = finish(tmp_path, mixed(N))
    assert progress[0].n_resumed == (n_resumed or 0)


def fill_the_disk_of(name: str) -> None:
    """Let the open file `name` of this process refuse every byte from now on."""
    full = os.open("/dev/full", os.O_WRONLY)
    for link in Path("/proc/self/fd").iterdir():
        if link.is_symlink() and link.readlink().name == name:
            os.dup2(full, int(link.name))
    os.close(full)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and /proc")
def test_a_build_goes_on_once_there_is_room_on_the_disk(tmp_path: Path) -> None:
    def fill(progress: BuildProgress) -> None:
        if progress.n_read == 320:
            fill_the_disk_of("array-distance.bin")

    options = BuildOptions(tmp_path / "full")
    with pytest.raises(InfrastructureError, match=r"No space left.*free space there"):
        build_store(mixed(N), toy_recipe(), options, fill)
    resumed, progress = finish(tmp_path / "full", mixed(N))
    assert progress[0].n_resumed == 320
    whole, _ = finish(tmp_path / "whole", mixed(N))
    assert contents(resumed) == contents(whole)


def test_a_build_whose_worker_was_killed_goes_on(tmp_path: Path) -> None:
    said: list[BuildProgress] = []
    recipe, options = toy_recipe(featurise_and_die_late), BuildOptions(tmp_path, 2)
    with pytest.raises(InfrastructureError, match=r"worker processes died.*fewer"):
        build_store(mixed(N), recipe, options, said.append)
    assert 0 < said[-1].n_read < N
    store, progress = finish(tmp_path, mixed(N))
    assert progress[0].n_resumed == said[-1].n_read
    assert store.report.n_read == N


def test_a_torn_tail_is_cut(tmp_path: Path) -> None:
    left = interrupted(tmp_path / "torn", mixed(N), 320)
    for file in left.iterdir():
        with file.open("ab") as stream:
            stream.write(b"half a rec")
    (left / "ids.json").write_text("[]")
    resumed, progress = finish(tmp_path / "torn", mixed(N))
    assert progress[0].n_resumed == 320
    whole, _ = finish(tmp_path / "whole", mixed(N))
    assert contents(resumed) == contents(whole)


def test_a_record_that_is_torn_leaves_the_one_before(tmp_path: Path) -> None:
    left = interrupted(tmp_path / "torn", mixed(N), 320)
    log = left / PROGRESS_FILE
    log.write_bytes(log.read_bytes()[:-5])
    resumed, progress = finish(tmp_path / "torn", mixed(N))
    assert progress[0].n_resumed == 288
    whole, _ = finish(tmp_path / "whole", mixed(N))
    assert contents(resumed) == contents(whole)


@pytest.mark.parametrize("how", ["changed", "shorter", "missing"])
def test_files_that_do_not_fit_their_record_are_made_again(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    left = interrupted(tmp_path, mixed(N), 320)
    file = left / "array-distance.bin"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(content if how == "changed" else content[:-1])
    store, progress = finish(tmp_path, mixed(N))
    assert progress[0].n_resumed == 0
    assert store.report.n_read == N
    assert "was damaged" in caplog.text


def test_two_builders_that_find_a_dead_one_leave_one_store(tmp_path: Path) -> None:
    interrupted(tmp_path, mixed(N), 320)
    with builder(tmp_path) as first, builder(tmp_path) as second:
        for process in (first, second):
            errors = process.communicate(timeout=60)[1]
            assert process.returncode == 0, errors
    (path,) = tmp_path.iterdir()
    store = PackedStore.open(path)
    store.verify()
    assert store.report.n_read == N


def test_a_folder_is_taken_over_once_and_only_from_the_dead(tmp_path: Path) -> None:
    left = interrupted(tmp_path, mixed(N), 64)
    identity = left.name.split("-")[1]
    assert workspace.take_over(tmp_path, "1" * 32) is None
    own = workspace.take_over(tmp_path, identity)
    assert own is not None
    assert read_progress(own) is not None
    assert workspace.take_over(tmp_path, identity) is None
    elsewhere = tmp_path / f".building-{identity}-other_host-1-1-abcdef01"
    own.rename(elsewhere)
    long_ago = time.time() - 3 * 24 * 3600
    for file in [elsewhere, *elsewhere.iterdir()]:
        os.utime(file, (long_ago, long_ago))
    assert workspace.take_over(tmp_path, identity) is None


def test_what_is_left_of_another_store_is_kept_for_a_week(tmp_path: Path) -> None:
    left = interrupted(tmp_path, mixed(N), 64)
    assert workspace.clean_stale(tmp_path, "1" * 32) == []
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(left / PROGRESS_FILE, (long_ago, long_ago))
    assert workspace.clean_stale(tmp_path, "1" * 32) == [left]


def test_of_two_dead_builders_the_one_that_came_further_is_continued(
    tmp_path: Path,
) -> None:
    near = interrupted(tmp_path / "near", mixed(N), 64)
    far = interrupted(tmp_path / "far", mixed(N), 320)
    shutil.move(near, tmp_path / "far" / near.name)
    store, progress = finish(tmp_path / "far", mixed(N))
    assert progress[0].n_resumed == 320
    assert not far.exists()
    assert [p.name for p in (tmp_path / "far").iterdir()] == [store.path.name]
