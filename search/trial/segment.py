"""Runs one segment in a worker: log file, time-out, failures as what they are."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from search.trial.failures import record_failure, spoils_the_worker
from search.trial.messages import EpochMessage, FinishedMessage
from search.trial.payload import SegmentPayload
from search.trial.watchdog import watchdog
from search.trial.work import find_work

LOG_FILE = "log.txt"
Report = Callable[[str], None]


def run_segment(payload: SegmentPayload, report: Report) -> None:
    """Run the segment and report every epoch and how it ended, one text each.

    A failure is reported and not raised, so that the worker can take the next segment.

    Args:
        payload: the segment.
        report: takes the JSON text of one message (see `search.trial.messages`) and
            returns once the driver has it.

    Raises:
        Exception: what the training raised, after it was reported, where the process
            must not be used again (lack of memory, an error of CUDA).
    """
    folder = Path(payload.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _log_to(folder / LOG_FILE):
        try:
            with watchdog(folder, _limit(payload)):
                text = _work(payload, report)
        except Exception as error:
            logging.getLogger(__name__).exception("trial %d failed", payload.trial)
            report(record_failure(folder, error).model_dump_json())
            if spoils_the_worker(error):
                raise
        else:
            report(text)


def _work(payload: SegmentPayload, report: Report) -> str:
    def on_epoch(message: EpochMessage) -> None:
        logging.getLogger(__name__).info("epoch %d: %s", message.epoch, message.metrics)
        report(message.model_dump_json())

    result = find_work(payload.work)(payload, on_epoch)
    return FinishedMessage(
        epoch=payload.until_epoch, checkpoint=result.checkpoint, bundle=result.bundle
    ).model_dump_json()


def _limit(payload: SegmentPayload) -> float | None:
    if payload.seconds_left is None:
        return None
    return max(payload.seconds_left, 0) + payload.grace_seconds


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Send what is printed and logged to `path`, and stop doing so afterwards."""
    root = logging.getLogger()
    level = root.level
    with path.open("a", encoding="utf-8", buffering=1) as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        )
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            sys.stdout.flush()
