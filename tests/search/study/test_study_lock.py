"""The lock: one driver, named; nobody is kept out by the dead."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.study.lock import lock_owner, study_lock
from sitenet_core.errors import StudyInUseError

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from search.study.lock import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_driver_is_refused_and_told_who_holds_the_study(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "lock"
    with holder(lock) as other:
        owner = f"process {other.pid} on {socket.gethostname()} since 20"
        with pytest.raises(StudyInUseError, match=owner) as caught, study_lock(lock):
            pass
        assert caught.value.exit_code == 2
        other.kill()
        other.wait()
        with study_lock(lock) as mine:
            assert mine.pid == os.getpid()
            assert lock_owner(lock) == mine


def test_the_same_process_cannot_hold_a_study_twice(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    mine = f"process {os.getpid()}"
    with (
        study_lock(lock),
        pytest.raises(StudyInUseError, match=mine),
        study_lock(lock),
    ):
        pass
    with study_lock(lock):
        pass


def test_a_child_that_outlives_a_dead_driver_does_not_keep_the_lock(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "lock"
    with holder(lock):
        owner = json.loads(lock.read_text())
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        lock.write_text(json.dumps({**owner, "pid": dead.pid}))
        with study_lock(lock) as mine:
            assert mine.pid == os.getpid()
