"""Ends a worker from within when its trial's time is over, even if a batch hangs."""

import faulthandler
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.trial.failures import TRACEBACK_FILE, write_failure
from search.trial.messages import FailedMessage
from search.trial.outcome import Outcome

EXIT_CODE = 70


@contextmanager
def watchdog(folder: Path, seconds: float | None) -> Iterator[None]:
    """End this process `seconds` from now unless the block is left before.

    The training looks at the clock between batches and then ends in good order. This is
    for the batch that never ends: the outcome is written, then the process is gone.

    Args:
        folder: of the attempt; receives outcome and stack.
        seconds: None never ends it.
    """
    if seconds is None:
        yield
        return
    over = threading.Event()
    started = time.monotonic()

    def watch() -> None:
        if over.wait(max(seconds, 0)):
            return
        path = folder / TRACEBACK_FILE
        with path.open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback(file)
        waited = time.monotonic() - started
        write_failure(
            folder,
            FailedMessage(
                outcome=Outcome.FAILED_TIMEOUT,
                message=f"no sign of life at the end of the trial's time: the worker "
                f"was ended after {waited:.0f} s",
                traceback=str(path),
            ),
        )
        # Nothing milder ends a thread that hangs in native code.
        os._exit(EXIT_CODE)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()
