"""A real `sitenet promote` that is told to end, and what is said of it then."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.promotable_study import make_study
from support.tracked_studies import empty_store

from search.cli.signals import sigterm_interrupts
from search.engine.stopping import SIGNALS
from search.journal import (
    Journal,
    SessionEnded,
    SessionStarted,
    StudyState,
    read_journal,
)
from search.journal.events import PromotionEpoch
from search.promotion.ledger import Ledger
from search.study import StudyFolder
from search.study.lock import study_lock
from search.study.summary import study_summary

ROOT = Path(__file__).resolve().parents[3]
START = "from search.cli.main import entry_point; entry_point()"
GOES_ON = "its promotion did not end; `sitenet promote tiny` goes on"


def start(study: StudyFolder) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", START, "promote", "tiny", "--dir"]
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    return subprocess.Popen(
        [*command, str(study.path.parent)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )


def epochs(study: StudyFolder) -> list[int]:
    """Return the journalled epochs of the long training."""
    events = [entry.event for entry in read_journal(study.journal)]
    return [
        e.epoch for e in events if isinstance(e, PromotionEpoch) and e.model == "winner"
    ]


def check_goes_on(study: StudyFolder) -> None:
    """Check that the promotion is said to go on, and nothing else is."""
    told = study_summary(study).lines()
    assert [line for line in told if "goes on" in line or "go on" in line] == [GOES_ON]


def test_a_promotion_that_is_told_to_end_says_how_it_goes_on(tmp_path: Path) -> None:
    empty_store(tmp_path / "studies")
    study = make_study(tmp_path, epochs=4000, references="constant")
    process = start(study)
    try:
        until = time.monotonic() + 120
        while not epochs(study) and time.monotonic() < until:
            assert process.poll() is None, process.communicate()[1].decode()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=60)[1].decode()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert StudyState.read(study.journal).ended == "interrupted"
    done = epochs(study)
    assert done == list(range(1, len(done) + 1))
    check_goes_on(study)


def test_a_promotion_that_was_killed_says_how_it_goes_on(tmp_path: Path) -> None:
    study = make_study(tmp_path, references="constant")
    journal = Journal.open(study.journal)
    journal.append(SessionStarted(session=2, host="here", pid=1, purpose="promotion"))
    with study_lock(study.lock) as owner:
        running = study_summary(study)
    assert not any("goes on" in line for line in running.lines())
    # The number of a process that is gone, given to another since.
    gone = replace(owner, born="1")
    study.lock.write_text(json.dumps(asdict(gone)), encoding="utf-8")
    assert StudyState.read(study.journal).ended is None
    check_goes_on(study)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_write_is_met_when_the_journal_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    ledger = Ledger(tmp_path / "journal.jsonl")
    fsync, handlers = os.fsync, [signal.getsignal(n) for n in SIGNALS]

    def interrupted(descriptor: int) -> None:
        fsync(descriptor)
        signal.raise_signal(number)

    begun = SessionStarted(session=1, host="here", pid=1, purpose="promotion")
    with sigterm_interrupts(), monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.append(begun)
    ledger.append(SessionEnded(reason="interrupted"))
    assert StudyState.read(tmp_path / "journal.jsonl") == ledger.state
    assert ledger.state.ended == "interrupted"
    assert [signal.getsignal(n) for n in SIGNALS] == handlers
