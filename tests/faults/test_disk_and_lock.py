"""A full disk, a second driver, a stale lock, a clock set back."""

import errno
import json
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from support.conducted_study import Bench
from support.fault_checks import (
    check_after_fault,
    check_at_the_end,
    essence,
    finished_trials,
)
from support.fault_driver import Nursery
from support.fault_work import write_settings

from search.engine.schedulers import Asha
from search.journal import (
    Clock,
    EpochDone,
    Journal,
    SessionStarted,
    StudyState,
    read_journal,
)
from search.study.lock import lock_owner, study_lock
from search.tracking.views import study_view
from search.trial.failures import outcome_of
from search.trial.outcome import Outcome
from sitenet_core.errors import InfrastructureError

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 6


def bench(folder: Path) -> Bench:
    folder.mkdir()
    scheduler = Asha(epochs=4, min_epochs=1, eta=2)
    return Bench(folder, scheduler, rules={"trials": TRIALS})


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond `size`, as on a disk that is full from there on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_anywhere_loses_nothing(tmp_path: Path) -> None:
    expected = bench(tmp_path / "whole").session()
    length = (tmp_path / "whole/journal.jsonl").stat().st_size
    numbers = random.Random(3)
    for number in range(12):
        study = bench(tmp_path / f"full-{number}")
        journal = study.folder / "journal.jsonl"
        limit = numbers.randrange(1500, length)
        with (
            largest_file(limit),
            pytest.raises(InfrastructureError, match=r"could not be written .*resume"),
        ):
            study.session()
        assert journal.read_bytes().endswith(b"\n"), "no torn line is left behind"
        assert limit - 600 < journal.stat().st_size <= limit
        before = finished_trials(journal)
        state = study.session()
        check_after_fault(study.folder, before)
        assert essence(state) == essence(expected)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_what_could_not_be_synced_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    journal = Journal.open(tmp_path / "journal.jsonl")
    journal.append(SessionStarted(session=1, host="h", pid=1))
    before = journal.path.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(InfrastructureError, match=os.strerror(code)):
            journal.append(epoch(1))
    assert journal.path.read_bytes() == before
    assert len(journal.entries) == 1
    journal.append(epoch(2))
    assert [e.event for e in read_journal(journal.path)][1:] == [epoch(2)]


def test_a_worker_that_finds_the_disk_full_ends_the_session_and_not_its_trial(
    tmp_path: Path,
) -> None:
    expected = bench(tmp_path / "whole").session()
    study = bench(tmp_path / "full")
    plan = {"1": {"do": "disk", "epoch": 1}}
    (study.folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(InfrastructureError, match=r"trial 1 could not write .*resume"):
        study.session()
    (study.folder / "plan.json").unlink()
    assert essence(study.session()) == essence(expected), "no configuration is blamed"


def test_a_checkpoint_that_did_not_fit_is_no_fault_of_the_configuration(
    tmp_path: Path,
) -> None:
    path = tmp_path / "last.ckpt"
    with (
        largest_file(20_000),
        pytest.raises(RuntimeError) as caught,
        path.open("wb") as f,
    ):
        torch.save({"weights": torch.zeros(50_000)}, f)
    assert outcome_of(caught.value) is Outcome.CANCELLED


def epoch(number: int) -> EpochDone:
    return EpochDone(trial=0, attempt=1, epoch=number, metrics={"val_mae": 1.0})


def test_a_line_damaged_in_the_middle_stops_every_driver_with_its_number(
    nursery: Nursery, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert nursery.drive(tmp_path, trials=2) == 0
    journal = tmp_path / "journal.jsonl"
    content = journal.read_bytes()
    lines = content.split(b"\n")
    lines[4] = lines[4].replace(b'"trial":0', b'"trial":1', 1)
    damaged = b"\n".join(lines)
    assert damaged != content
    journal.write_bytes(damaged)
    assert nursery.drive(tmp_path, trials=3) == 5
    with pytest.raises(InfrastructureError, match=r"journal.jsonl:5: .* damaged"):
        read_journal(journal)
    assert journal.read_bytes() == damaged, "nothing is written to it"
    del capfd


def test_a_second_driver_is_refused_and_disturbs_nothing(
    nursery: Nursery, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    write_settings(folder, seconds=0.4)
    codes: list[int] = []
    other = Nursery(ROOT)
    (tmp_path / "warm").mkdir()
    assert other.drive(tmp_path / "warm", trials=1) == 0, "it has imported all it needs"
    first = threading.Thread(
        target=lambda: codes.append(nursery.drive(folder, trials=TRIALS))
    )
    first.start()
    try:
        while not (folder / "work.log").exists():
            assert first.is_alive()
        for _ in range(2):
            assert other.drive(folder, trials=TRIALS) == 2
    finally:
        first.join()
        other.close()
    assert codes == [0]
    check_after_fault(folder, {})
    check_at_the_end(folder, trials=TRIALS)
    sessions = [
        e
        for e in read_journal(folder / "journal.jsonl")
        if isinstance(e.event, SessionStarted)
    ]
    assert len(sessions) == 1


def test_where_locks_do_not_work_a_second_writer_is_refused_by_the_journal(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.jsonl"
    first, second = Journal.open(path), Journal.open(path)
    first.append(SessionStarted(session=1, host="a", pid=1))
    before = path.read_bytes()
    with pytest.raises(InfrastructureError, match="another process changed"):
        second.append(SessionStarted(session=1, host="b", pid=1))
    assert path.read_bytes() == before, "what the first wrote is still there"
    first.append(epoch(1))
    assert len(read_journal(path)) == 2


CONTENDER = """
import os, sys, time
from pathlib import Path
from search.study import lock
look = lock.lock_owner
def slowly(path):
    owner = look(path)
    time.sleep(0.1)
    return owner
lock.lock_owner = slowly
print("ready", flush=True)
sys.stdin.readline()
try:
    with lock.study_lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except lock.StudyInUseError:
    print("refused", flush=True)
"""
ORPHAN = """
import os, sys, time
from pathlib import Path
from search.study.lock import study_lock
lock = study_lock(Path(sys.argv[1]))
lock.__enter__()
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
time.sleep(120)
"""


def script(text: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", text, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_many_that_find_a_stale_lock_one_takes_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    dead = script(ORPHAN, lock)
    orphan = int(line(dead))
    dead.wait()
    contenders = [script(CONTENDER, lock) for _ in range(4)]
    try:
        assert [line(c) for c in contenders] == ["ready"] * 4
        for contender in contenders:
            assert contender.stdin is not None
            contender.stdin.write("\n")
            contender.stdin.flush()
        words = [line(c) for c in contenders]
    finally:
        os.kill(orphan, 9)
        for process in (dead, *contenders):
            process.kill()
            process.communicate()
    assert sorted(words) == ["held", "refused", "refused", "refused"]


def test_a_stale_lock_is_told_from_one_of_another_place(tmp_path: Path) -> None:
    with study_lock(tmp_path / "lock") as mine:
        assert not mine.is_dead
        assert replace(mine, born="1").is_dead, "the number was given to another"
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        dead = replace(mine, pid=gone.pid)
        assert dead.is_dead
        assert not replace(dead, host="elsewhere").is_dead
        assert not replace(dead, namespace="pid:[1]").is_dead, "of another container"
    old = {k: v for k, v in asdict(mine).items() if k in {"pid", "host", "time"}}
    (tmp_path / "lock").write_text(json.dumps(old))
    owner = lock_owner(tmp_path / "lock")
    assert owner is not None
    assert not owner.is_dead, "locks of earlier versions are still read"


def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path) -> None:
    expected = bench(tmp_path / "whole").session()
    study = bench(tmp_path / "back")
    now = [datetime(2026, 6, 1, tzinfo=UTC)]

    def backwards() -> datetime:
        now[0] -= timedelta(hours=7)
        return now[0]

    study.rules = {"trials": 3}
    study.session(clock=Clock(wall=backwards))
    now[0] = datetime(2020, 1, 1, tzinfo=UTC)
    study.rules = {"trials": TRIALS}
    state = study.session(clock=Clock(wall=backwards))
    assert [t.configuration for t in state.trials] == [
        t.configuration for t in expected.trials
    ]
    assert 0 <= state.seconds < 600
    entries = read_journal(study.folder / "journal.jsonl")
    assert all(entry.elapsed >= 0 for entry in entries)
    assert [e.seq for e in entries] == list(range(1, len(entries) + 1))
    check_progress(state, study.folder)


def check_progress(state: StudyState, folder: Path) -> None:
    """Assert that MLflow's curves follow the order of the journal, not of the times."""
    points = study_view(state, folder, {}).points
    ended = [p.value for p in points if p.name == "trials_ended"]
    order = sorted(
        (d.ended_at, n) for n, d in state.details.items() if d.ended is not None
    )
    in_order = ended[: len(order) + 1]
    assert in_order == list(range(len(order) + 1)), "before those that wait"
    values = [state.trials[n].value for _, n in order]
    best = [p.value for p in points if p.name == "best_val_mae"]
    lowest = [
        min(v for v in values[: k + 1] if v is not None) for k in range(len(values))
    ]
    assert best == lowest[len(lowest) - len(best) :]
