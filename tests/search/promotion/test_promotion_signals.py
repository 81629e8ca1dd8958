"""A real `sitenet promote` that is told to end, and what is said of it then."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.promotable_study import make_study
from support.tracked_studies import empty_store

from search.journal import StudyState, read_journal
from search.journal.events import PromotionEpoch
from search.study import StudyFolder
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


@pytest.mark.parametrize(
    ("number", "code", "ended"),
    [(signal.SIGTERM, 130, "interrupted"), (signal.SIGKILL, -9, None)],
)
def test_a_promotion_that_is_told_to_end_says_how_it_goes_on(
    tmp_path: Path, number: signal.Signals, code: int, ended: str | None
) -> None:
    empty_store(tmp_path / "studies")
    study = make_study(tmp_path, epochs=4000, references="constant")
    process = start(study)
    until = time.monotonic() + 120
    while not epochs(study) and time.monotonic() < until:
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.05)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert StudyState.read(study.journal).ended == ended
    done = epochs(study)
    assert done == list(range(1, len(done) + 1))
    told = study_summary(study).lines()
    assert [line for line in told if "goes on" in line or "go on" in line] == [GOES_ON]
