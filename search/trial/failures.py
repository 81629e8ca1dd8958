"""Turns what went wrong in a worker into the outcome that the journal records."""

import errno
import traceback
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from search.trial.messages import FailedMessage
from search.trial.outcome import Outcome
from sitenet_core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InfrastructureError,
    NonFiniteLossError,
    OutOfMemoryError,
    TrialTimeoutError,
)

OUTCOME_FILE = "outcome.json"
TRACEBACK_FILE = "traceback.txt"
INFEASIBLE = "infeasible: does not fit with one crystal at a time"
"""What the message of a lack of memory begins with that nothing can mend."""

_OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (NonFiniteLossError, Outcome.FAILED_NAN),
    (OutOfMemoryError, Outcome.FAILED_OOM),
    (MemoryError, Outcome.FAILED_OOM),
    (TrialTimeoutError, Outcome.FAILED_TIMEOUT),
    (ConfigError, Outcome.FAILED_CONFIGURATION),
    (ValidationError, Outcome.FAILED_CONFIGURATION),
    (DataError, Outcome.FAILED_DATA),
)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_AWAY = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EACCES, errno.EPERM}
)
"""A disk that breaks or is locked, or a share whose server does not answer."""


def outcome_of(error: BaseException) -> Outcome:
    """Return what a trial that raised `error` is called.

    `cancelled` where the disk is what failed, or the data are away: the configuration
    is not to blame, and the trial goes on once that is mended.
    """
    if isinstance(error, InfrastructureError) or _is_of_the_disk(error):
        return Outcome.CANCELLED
    for kind, outcome in _OUTCOMES:
        if isinstance(error, kind):
            return outcome
    return Outcome.FAILED_EXCEPTION


def _is_of_the_disk(error: BaseException | None) -> bool:
    """Return whether a disk is behind `error` that is full, read-only or away.

    What writes a checkpoint may raise an error of its own while it handles that one.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL | _AWAY:
            return True
        error = error.__cause__ or error.__context__
    return False


def spoils_the_worker(error: BaseException) -> bool:
    """Return whether the process must not be given another segment.

    After lack of memory or a CUDA error, what the next, innocent trial would meet in
    this process is not what it would meet in a fresh one.
    """
    return outcome_of(error) is Outcome.FAILED_OOM or "CUDA" in str(error)


def record_failure(folder: Path, error: BaseException) -> FailedMessage:
    """Write the traceback of `error` and return the failure; also as a file.

    On a full disk the files may be missing; the failure is returned all the same.
    """
    text = "".join(traceback.format_exception(error))
    with suppress(OSError):
        (folder / TRACEBACK_FILE).write_text(text, encoding="utf-8")
    failure = FailedMessage(
        outcome=outcome_of(error),
        message=_words(error),
        traceback=str(folder / TRACEBACK_FILE),
        micro_batch=getattr(error, "micro_batch", None),
        smallest=getattr(error, "smallest", False),
        checkpoint_lost=_is_lost_checkpoint(error),
    )
    with suppress(OSError):
        write_failure(folder, failure)
    return failure


def _is_lost_checkpoint(error: BaseException) -> bool:
    """Return whether the checkpoint is the fault, and not the disk that it lies on."""
    return isinstance(error, CheckpointError) and not _is_of_the_disk(error)


def _words(error: BaseException) -> str:
    words = str(error).strip() or type(error).__name__
    if isinstance(error, InfrastructureError):
        return words
    if _is_of_the_disk(error):
        return f"could not write or read its files ({words})"
    if outcome_of(error) is Outcome.FAILED_EXCEPTION:
        return f"{type(error).__name__}: {words}"
    return words


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
