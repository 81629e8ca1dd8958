"""SIGTERM ends a command as Ctrl-C does: in good order, with exit code 130."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM; a second one ends the process at once.

    Batch systems and containers send SIGTERM, and kill a moment later. A search stops
    by itself (`search.engine.stopping`). Outside the main thread Python has no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != owner:
            # A fork that has not set its own handlers.
            os.kill(os.getpid(), number)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
