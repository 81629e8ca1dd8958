"""One segment in this process: logs, failures, and what the driver is told."""

import errno
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from search.trial.failures import (
    outcome_of,
    read_failure,
    record_failure,
    spoils_the_worker,
)
from search.trial.messages import EpochMessage, FailedMessage, read_message
from search.trial.outcome import Outcome
from search.trial.payload import SegmentPayload
from search.trial.segment import run_segment
from search.trial.training import _Reporter
from search.trial.work import find_work
from sitenet_core.config import StrictModel
from sitenet_core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InfrastructureError,
    NonFiniteLossError,
    OutOfMemoryError,
    StoreError,
    TrialTimeoutError,
)
from sitenet_core.training import EpochRecord
from sitenet_core.training.curve import write_curve


def payload(folder: Path, **changes: Any) -> SegmentPayload:
    fields: dict[str, Any] = {
        "work": "support.segment_work:analytic",
        "trial": 0,
        "attempt": 1,
        "configuration": {"x": 0.3, "y": 0.7},
        "from_epoch": 0,
        "until_epoch": 2,
        "is_last": True,
        "checkpoint": None,
        "folder": str(folder / "trials/00000/attempt-1"),
        "bundle": str(folder / "trials/00000/bundle"),
    }
    return SegmentPayload.model_validate({**fields, **changes})


def run(payload: SegmentPayload) -> list[Any]:
    texts: list[str] = []
    run_segment(payload, texts.append)
    return [read_message(text) for text in texts]


def test_every_epoch_is_reported_and_then_the_end(tmp_path: Path) -> None:
    said = run(payload(tmp_path))
    assert [m.kind for m in said] == ["epoch", "epoch", "finished"]
    assert [m.epoch for m in said] == [1, 2, 2]
    assert said[-1].bundle == str(tmp_path / "trials/00000/bundle")


def test_a_failure_is_reported_and_left_in_the_folder(tmp_path: Path) -> None:
    plan = {"0": {"do": "nan", "epoch": 2}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    said = run(payload(tmp_path))
    assert [m.kind for m in said] == ["epoch", "failed"]
    assert said[-1].outcome is Outcome.FAILED_NAN
    assert read_failure(tmp_path / "trials/00000/attempt-1") == said[-1]


def test_lack_of_memory_is_reported_and_then_raised(tmp_path: Path) -> None:
    plan = {"0": {"do": "oom", "epoch": 1}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    texts: list[str] = []
    with pytest.raises(OutOfMemoryError):
        run_segment(payload(tmp_path), texts.append)
    (said,) = [read_message(text) for text in texts]
    assert isinstance(said, FailedMessage)
    assert said.outcome is Outcome.FAILED_OOM


def test_output_goes_to_the_log_and_nothing_stays_changed(tmp_path: Path) -> None:
    before = (sys.stdout, sys.stderr, list(logging.getLogger().handlers))
    run(payload(tmp_path, work="json:dumps"))
    log = (tmp_path / "trials/00000/attempt-1/log.txt").read_text()
    assert "TypeError" in log
    assert (sys.stdout, sys.stderr, list(logging.getLogger().handlers)) == before


class Strict(StrictModel):
    number: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Strict.model_validate({"number": "x"})
    return caught.value


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NonFiniteLossError(), Outcome.FAILED_NAN),
        (OutOfMemoryError(), Outcome.FAILED_OOM),
        (MemoryError(), Outcome.FAILED_OOM),
        (TrialTimeoutError(), Outcome.FAILED_TIMEOUT),
        (ConfigError(), Outcome.FAILED_CONFIGURATION),
        (invalid(), Outcome.FAILED_CONFIGURATION),
        (DataError(), Outcome.FAILED_DATA),
        (StoreError(), Outcome.FAILED_DATA),
        (InfrastructureError(), Outcome.CANCELLED),
        (OSError(errno.ENOSPC, "full"), Outcome.CANCELLED),
        (OSError(errno.ESTALE, "a share that is away"), Outcome.CANCELLED),
        (OSError(errno.EACCES, "locked"), Outcome.CANCELLED),
        (OSError(errno.EMLINK, "anything else"), Outcome.FAILED_EXCEPTION),
        (ValueError(), Outcome.FAILED_EXCEPTION),
    ],
)
def test_each_error_has_its_outcome(error: Exception, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


@pytest.mark.parametrize(("code", "lost"), [(None, True), (errno.EIO, False)])
def test_a_checkpoint_on_a_disk_that_is_away_is_not_lost(
    tmp_path: Path, code: int | None, *, lost: bool
) -> None:
    error = CheckpointError("damaged")
    if code is not None:
        error.__cause__ = OSError(code, "Input/output error")
    said = record_failure(tmp_path, error)
    assert said.checkpoint_lost is lost
    assert (said.outcome is Outcome.CANCELLED) is not lost


def test_a_worker_is_dropped_after_lack_of_memory_or_an_error_of_cuda() -> None:
    assert spoils_the_worker(OutOfMemoryError())
    assert spoils_the_worker(RuntimeError("CUDA error: an illegal memory access"))
    assert not spoils_the_worker(NonFiniteLossError("CUDA-free"[5:]))


def test_an_epoch_that_the_driver_missed_is_reported_from_the_curve(
    tmp_path: Path,
) -> None:
    segment = payload(tmp_path, from_epoch=1, until_epoch=4)
    folder = Path(segment.folder)
    folder.mkdir(parents=True)
    curve = [EpochRecord(e, 1.0, 1 / e, 0.1, 1.0, 1) for e in (1, 2, 3, 4)]
    write_curve(folder / "curve.csv", curve)
    said: list[EpochMessage] = []
    reporter = _Reporter(segment, said.append)
    reporter(curve[2])
    assert [m.epoch for m in said] == [2, 3]
    reporter.catch_up(4)
    reporter.catch_up(4)
    assert [m.epoch for m in said] == [2, 3, 4]
    assert said[0].metrics["val_mae"] == 0.5


def test_unknown_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither 'train' nor module:function"):
        find_work("trian")
