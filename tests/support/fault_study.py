"""A driver of a real study on a real Ray, to be killed by tests.

    python -m support.fault_study FOLDER NAME WORK

FOLDER holds `crystals` and `study.yaml`. WORK is `simulated` or `trained`: real
trainings that note, as the simulated ones do, every epoch that they begin.
"""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from support.fault_work import COUNTED, WORK_LOG, append

from search.study import RunOptions, run_study
from search.trial.payload import SegmentPayload
from search.trial.training import train
from search.trial.work import OnEpochDone, WorkResult

WORKS = {"simulated": COUNTED, "trained": "support.fault_study:trained"}
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
"""Seconds after which a driver counts as hanging."""


class NoTracker:
    """Shows nothing."""

    def sync(self, state: Any, *, now: bool = False) -> None:
        del state, now


def trained(payload: SegmentPayload, on_epoch: OnEpochDone) -> WorkResult:
    """Train in earnest, and note every epoch that is begun."""
    from sitenet_core.training.checkpoints import load_state
    from sitenet_core.training.module import TrainingModule

    log = Path(payload.folder).parents[2] / WORK_LOG
    begin = TrainingModule.on_train_epoch_start
    # The module counts from the checkpoint on; that may be ahead of the journal.
    checkpoint = payload.checkpoint
    done = 0 if checkpoint is None else load_state(Path(checkpoint)).epoch

    @functools.wraps(begin)
    def noted(self: TrainingModule) -> None:
        append(
            log, f"{payload.trial} {done + self.current_epoch + 1} {payload.attempt}"
        )
        begin(self)

    TrainingModule.on_train_epoch_start = noted  # type: ignore[method-assign]
    try:
        return train(payload, on_epoch)
    finally:
        TrainingModule.on_train_epoch_start = begin  # type: ignore[method-assign]


def main(folder: Path, name: str, work: str) -> int:
    """Begin the study, or go on with it."""
    summary = run_study(
        folder / "study.yaml",
        RunOptions(
            directory=folder / "studies",
            name=name,
            resume=(folder / "studies" / name / "journal.jsonl").exists(),
            progress=False,
            work=WORKS[work],
            tracker=lambda _folder, _data: NoTracker(),
        ),
    )
    return 130 if summary.interrupted else 0


def start(folder: Path, name: str, work: str) -> subprocess.Popen[bytes]:
    """Start a driver in a process of its own."""
    path = f"{ROOT / 'tests'}{os.pathsep}{ROOT}"
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "SITENET_STORES": str(folder / "stores"),
    }
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "support.fault_study", str(folder), name, work]
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log
        )


def kill_after(
    process: subprocess.Popen[bytes], journal: Path, lines: int, delay: float
) -> int:
    """Kill a driver once the journal has grown; return its exit code."""
    before, until = _n_lines(journal), time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if _n_lines(journal) - before >= lines:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            return process.wait()
        time.sleep(0.01)
    return ended(process)


def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a driver and return its exit code; one that hangs is killed."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
