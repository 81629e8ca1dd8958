"""Signals become a request; trackers never get in the way."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.conducted_study import Bench

from search.engine.stopping import SIGNALS, Stopped, stop_on_signals
from search.engine.tracking_thread import TrackingThread
from search.journal import StudyState

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_seen_at_the_next_safe_point(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.is_set
        with pytest.raises(Stopped):
            stop.check()
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_the_process_at_once() -> None:
    script = (
        "import os, signal, time\n"
        "from search.engine.stopping import stop_on_signals\n"
        "with stop_on_signals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print(stop.is_set, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False
    )
    assert done.stdout == b"True\n"
    assert done.returncode == -signal.SIGTERM


class Hanging:
    def __init__(self) -> None:
        self.released = threading.Event()
        self.last: StudyState | None = None

    def sync(self, state: StudyState, *, now: bool = False) -> None:
        del now
        self.released.wait(10)
        self.last = state


def test_a_tracker_that_hangs_delays_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = Bench(tmp_path).session()
    tracker = Hanging()
    thread = TrackingThread(tracker, seconds=0.01)
    began = time.monotonic()
    thread.show(state)
    thread.close(state, timeout=0.2)
    assert time.monotonic() - began < 2
    assert f"`sitenet search sync {state.name}` writes it" in caplog.text
    tracker.released.set()
    thread.close(state)
    assert tracker.last is state
