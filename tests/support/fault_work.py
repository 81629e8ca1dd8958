"""Simulated segments that keep count of every epoch they begin, and may be killed.

`work.log` of the study gets one line per epoch that is begun, whatever becomes of it;
`finished.log` one per segment whose end the driver has taken note of.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from support.segment_work import value_at

from search.trial.messages import EpochMessage
from search.trial.payload import SegmentPayload
from search.trial.work import OnEpochDone, WorkResult

COUNTED = "support.fault_work:counted"
WORK_LOG = "work.log"
FINISHED_LOG = "finished.log"
SETTINGS = "settings.json"
"""In the folder of a study: `seconds` per epoch, `deadly` share of epochs that kill."""


def counted(payload: SegmentPayload, on_epoch: OnEpochDone) -> WorkResult:
    """Go through the epochs of an analytic curve: begin, checkpoint, report each."""
    folder = Path(payload.folder)
    study = folder.parents[2]
    settings = _settings(study)
    done = _read_checkpoint(payload.checkpoint)
    checkpoint = folder / "checkpoints" / "last.json"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    _write_checkpoint(checkpoint, done)
    for epoch in range(payload.from_epoch + 1, payload.until_epoch + 1):
        # A checkpoint may be ahead of the journal; such an epoch is only reported.
        if epoch > done:
            append(study / WORK_LOG, f"{payload.trial} {epoch} {payload.attempt}")
            time.sleep(settings["seconds"])
            _maybe_die(payload, epoch, settings["deadly"])
            _write_checkpoint(checkpoint, epoch)
        value = value_at(coordinates(payload.configuration), epoch)
        metrics = {"val_mae": value, "seconds": 0.01}
        on_epoch(EpochMessage(epoch=epoch, metrics=metrics, checkpoint=str(checkpoint)))
    bundle = None
    if payload.is_last:
        Path(payload.bundle).mkdir(parents=True, exist_ok=True)
        bundle = payload.bundle
    return WorkResult(str(checkpoint), bundle)


def coordinates(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the point of the toy problem that a configuration stands for."""
    if "x" in configuration:
        return configuration
    rate = configuration["optimizer"]["learning_rate"]
    return {"x": rate * 100, "y": 0.5}


def write_settings(study: Path, *, seconds: float = 0.0, deadly: float = 0.0) -> None:
    """Say how the segments of a study behave."""
    text = json.dumps({"seconds": seconds, "deadly": deadly})
    (study / SETTINGS).write_text(text)


def begun(study: Path) -> Counter[tuple[int, int]]:
    """Return how often each (trial, epoch) was begun."""
    path = study / WORK_LOG
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter((int(t), int(e)) for t, e, _ in (line.split() for line in lines))


def append(path: Path, line: str) -> None:
    """Add a line in one write, which no other process can tear."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def _settings(study: Path) -> dict[str, float]:
    path = study / SETTINGS
    if not path.exists():
        return {"seconds": 0.0, "deadly": 0.0}
    settings: dict[str, float] = json.loads(path.read_text())
    return settings


def _maybe_die(payload: SegmentPayload, epoch: int, share: float) -> None:
    place = f"{payload.trial} {payload.attempt} {epoch}"
    if random.Random(place).random() < share:
        os.kill(os.getpid(), signal.SIGKILL)


def _read_checkpoint(path: str | None) -> int:
    return 0 if path is None else int(json.loads(Path(path).read_text())["epoch"])


def _write_checkpoint(path: Path, epoch: int) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"epoch": epoch}))
    partial.replace(path)
