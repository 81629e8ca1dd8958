"""Turns what went wrong in a worker into the outcome that the journal records."""

import traceback
from pathlib import Path

from pydantic import ValidationError

from search.trial.messages import FailedMessage
from search.trial.outcome import Outcome
from sitenet_core.errors import (
    ConfigError,
    DataError,
    NonFiniteLossError,
    OutOfMemoryError,
    TrialTimeoutError,
)

OUTCOME_FILE = "outcome.json"
TRACEBACK_FILE = "traceback.txt"

_OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (NonFiniteLossError, Outcome.FAILED_NAN),
    (OutOfMemoryError, Outcome.FAILED_OOM),
    (MemoryError, Outcome.FAILED_OOM),
    (TrialTimeoutError, Outcome.FAILED_TIMEOUT),
    (ConfigError, Outcome.FAILED_CONFIGURATION),
    (ValidationError, Outcome.FAILED_CONFIGURATION),
    (DataError, Outcome.FAILED_DATA),
)


def outcome_of(error: BaseException) -> Outcome:
    """Return what a trial that raised `error` is called."""
    for kind, outcome in _OUTCOMES:
        if isinstance(error, kind):
            return outcome
    return Outcome.FAILED_EXCEPTION


def spoils_the_worker(error: BaseException) -> bool:
    """Return whether the process must not be given another segment.

    After lack of memory or a CUDA error, what the next, innocent trial would meet in
    this process is not what it would meet in a fresh one.
    """
    return outcome_of(error) is Outcome.FAILED_OOM or "CUDA" in str(error)


def record_failure(folder: Path, error: BaseException) -> FailedMessage:
    """Write the traceback of `error` and return the failure; also as a file."""
    text = "".join(traceback.format_exception(error))
    (folder / TRACEBACK_FILE).write_text(text, encoding="utf-8")
    message = str(error).strip() or type(error).__name__
    if outcome_of(error) is Outcome.FAILED_EXCEPTION:
        message = f"{type(error).__name__}: {message}"
    failure = FailedMessage(
        outcome=outcome_of(error),
        message=message,
        traceback=str(folder / TRACEBACK_FILE),
        micro_batch=getattr(error, "micro_batch", None),
        smallest=getattr(error, "smallest", False),
    )
    write_failure(folder, failure)
    return failure


def write_failure(folder: Path, failure: FailedMessage) -> None:
    """Leave `failure` where the driver looks when a worker ends without a word."""
    partial = folder / f".{OUTCOME_FILE}.partial"
    partial.write_text(failure.model_dump_json(), encoding="utf-8")
    partial.replace(folder / OUTCOME_FILE)


def read_failure(folder: Path) -> FailedMessage | None:
    """Return the failure that a worker left in its folder; None if it left none."""
    try:
        text = (folder / OUTCOME_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return FailedMessage.model_validate_json(text)
