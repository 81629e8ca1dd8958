"""Segments without training: analytic curves, and workers that fail on purpose.

What goes wrong is planned in `plan.json` of the study folder, so that a worker in
another process finds it: trial number → {do, epoch, attempts, fits, smallest}.
"""

import errno
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

from search.engine.segment import Segment
from search.trial.messages import EpochMessage
from search.trial.payload import SegmentPayload
from search.trial.work import OnEpochDone, WorkResult
from sitenet_core.errors import (
    CheckpointError,
    DataError,
    InfrastructureError,
    NonFiniteLossError,
    OutOfMemoryError,
)


class WorkerLostError(BaseException):
    """Stands for the death of the process in tests that have only one."""


ANALYTIC = "support.segment_work:analytic"


def value_at(configuration: dict[str, Any], epoch: int) -> float:
    """Validation value of the toy problem: a bowl that is reached slowly."""
    x, y = configuration["x"], configuration["y"]
    return float((x - 0.3) ** 2 + (y - 0.7) ** 2 + 1 / epoch)


def analytic(payload: SegmentPayload, on_epoch: OnEpochDone) -> WorkResult:
    """Go through the epochs, checkpoint each, and do what the plan says."""
    folder = Path(payload.folder)
    plan = _plan(folder.parents[2]).get(str(payload.trial), {})
    started_at = 0
    if payload.checkpoint is not None:
        started_at = _epoch_of(Path(payload.checkpoint))
    checkpoint = folder / "checkpoints" / "last.json"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_text(json.dumps({"epoch": started_at}))
    logging.getLogger(__name__).info("starts from epoch %d", started_at)
    (folder / "pid").write_text(str(os.getpid()))
    for epoch in range(payload.from_epoch + 1, payload.until_epoch + 1):
        planned = payload.attempt in plan.get("attempts", [payload.attempt])
        if epoch == plan.get("epoch") and planned:
            _misbehave(plan, payload.micro_batch)
        # A checkpoint may be ahead of the journal; such an epoch is only reported.
        if epoch > started_at:
            time.sleep(plan.get("sleep", 0.0))
            checkpoint.write_text(json.dumps({"epoch": epoch}))
        metrics = {"val_mae": value_at(payload.configuration, epoch), "seconds": 0.01}
        on_epoch(EpochMessage(epoch=epoch, metrics=metrics, checkpoint=str(checkpoint)))
    bundle = None
    if payload.is_last:
        Path(payload.bundle).mkdir(parents=True, exist_ok=True)
        bundle = payload.bundle
    return WorkResult(str(checkpoint), bundle)


def _epoch_of(checkpoint: Path) -> int:
    try:
        return int(json.loads(checkpoint.read_text())["epoch"])
    except (FileNotFoundError, ValueError) as error:
        raise CheckpointError(f"{checkpoint.name}: gone or damaged") from error


def flat_payload(folder: Path, **changes: Any) -> Any:
    """Return a payload maker whose configuration is the flat one of the segment."""

    def make(segment: Segment) -> SegmentPayload:
        checkpoint = segment.checkpoint
        return SegmentPayload(
            work=ANALYTIC,
            trial=segment.trial,
            attempt=segment.attempt,
            configuration=dict(segment.configuration),
            from_epoch=segment.from_epoch,
            until_epoch=segment.until_epoch,
            is_last=segment.is_last,
            checkpoint=str(folder / checkpoint) if checkpoint else None,
            folder=str(folder / segment.folder),
            bundle=str(folder / f"trials/{segment.trial:05d}/bundle"),
            seconds_left=segment.seconds_left,
            micro_batch=segment.micro_batch,
            **changes,
        )

    return make


def _plan(study: Path) -> dict[str, Any]:
    path = study / "plan.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _misbehave(plan: dict[str, Any], micro_batch: int | None) -> None:
    """Do what is planned, unless so small a micro-batch `fits`."""
    what = plan["do"]
    if micro_batch is not None and micro_batch <= plan.get("fits", 0):
        return
    if what == "nan":
        raise NonFiniteLossError("the loss became nan in epoch 2")
    if what == "oom":
        smallest = micro_batch is not None and micro_batch <= plan.get("smallest", 1)
        raise OutOfMemoryError("no memory left", micro_batch, smallest=smallest)
    if what == "disk":
        raise OSError(errno.ENOSPC, "No space left on device")
    if what == "away":
        raise InfrastructureError("could not read its data: no such store")
    if what == "data":
        raise DataError("the store is damaged")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "lost":
        raise WorkerLostError
    if what == "hang":
        time.sleep(600)
    raise RuntimeError(f"planned: {what}")
