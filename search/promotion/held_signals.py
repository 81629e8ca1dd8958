"""Signals that wait while something is written that must be whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from search.engine.stopping import SIGNALS


@contextmanager
def held_signals() -> Iterator[None]:
    """Deliver SIGINT and SIGTERM after the block, if they come within it.

    Both raise KeyboardInterrupt, between any two steps of Python: also between what is
    written to a file and what is noted of it. Outside the main thread Python has no
    signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    # None: a handler that is not Python's, which raises nothing.
    known = ((number, signal.getsignal(number)) for number in SIGNALS)
    previous = [(number, handler) for number, handler in known if handler is not None]
    try:
        for number, _ in previous:
            signal.signal(number, hold)
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
        for late in dict.fromkeys(came):
            signal.raise_signal(late)
