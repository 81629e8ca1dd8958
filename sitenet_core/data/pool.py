"""Work in other processes, with its results in order and bounded memory."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

from sitenet_core.errors import InfrastructureError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

_AHEAD = 3
"""Tasks per worker that are sent before their results are asked for."""


def ordered_map(
    work: Callable[[TaskT], ResultT], tasks: Iterable[TaskT], workers: int
) -> Generator[ResultT, None, None]:
    """Yield `work(task)` for each task, in the order of the tasks.

    With one worker the work is done in this process. With more, `work`, tasks and
    results are pickled; tasks are drawn only a few ahead of the results that were
    taken, so memory does not grow with their number.

    Raises:
        InfrastructureError: if a worker process died.
        Exception: whatever `work` or `tasks` raises.
    """
    if workers <= 1:
        yield from map(work, tasks)
        return
    # spawn: a fork would copy the locks of torch's and the caller's threads.
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker
    )
    try:
        yield from _drain(pool, work, iter(tasks), ahead=_AHEAD * workers)
    except BrokenProcessPool as error:
        raise InfrastructureError(
            f"one of {workers} worker processes died, most often because the machine"
            " ran out of memory; try again with fewer workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _drain(
    pool: ProcessPoolExecutor,
    work: Callable[[TaskT], ResultT],
    tasks: Iterator[TaskT],
    *,
    ahead: int,
) -> Iterator[ResultT]:
    pending: deque[Future[ResultT]] = deque(
        pool.submit(work, task) for task in islice(tasks, ahead)
    )
    while pending:
        result = pending.popleft().result()
        pending.extend(pool.submit(work, task) for task in islice(tasks, 1))
        yield result


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides how to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    # Without this, workers of a parent that was killed wait for tasks for ever.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
