"""Stopping in good order: what a signal asks for, seen where it is safe to stop."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Leaves the running session from a safe point.

    Not an Exception: nothing between the safe point and the session may handle it.
    """


class StopRequest:
    """Whether somebody wants the session to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_set(self) -> bool:
        """Whether the session should end at the next safe point."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask the session to end."""
        self._event.set()

    def check(self) -> None:
        """Leave the session here if that was asked for.

        Raises:
            Stopped: then.
        """
        if self.is_set:
            raise Stopped


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request; a second one ends the process at once.

    Ending at once loses nothing that is in the journal. Outside the main thread, where
    Python has no signals, the request can only be set by the program.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    owner = os.getpid()

    def handle(number: int, _frame: FrameType | None) -> None:
        if request.is_set or os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        request.set()

    previous = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
