"""Several groups of a batch at once, each on one thread of its own.

Torch's own threads share out every operation and wait for each other at its end, which
takes many times as long when another process needs one of the cores. Groups of a batch
have nothing to wait for until their gradients are added up.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

from sitenet_core.families.protocol import Batch

ResultT = TypeVar("ResultT")

SMALLEST_SHARE = 8192
"""Pairs, or what else groups are measured by, for which a thread of its own pays."""


class GroupWorkers:
    """A fixed number of threads that take groups through a network.

    Args:
        n_threads: groups that are worked on, and lie in memory, at once.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._pool = ThreadPoolExecutor(
            n_threads, "sitenet-group", torch.set_num_threads, (1,)
        )

    def results(
        self, work: Callable[[Batch], ResultT], groups: Iterable[Batch]
    ) -> Iterator[ResultT]:
        """Yield `work(group)` in the order of the groups.

        Raises:
            Exception: whatever `work` raises.
        """
        waiting = iter(groups)
        running: deque[Future[ResultT]] = deque(
            self._pool.submit(work, group) for group in islice(waiting, self._n_threads)
        )
        while running:
            result = running.popleft().result()
            running.extend(
                self._pool.submit(work, group) for group in islice(waiting, 1)
            )
            yield result

    def close(self) -> None:
        """Wait for what is running and end the threads."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def group_workers(n_threads: int) -> Iterator[GroupWorkers | None]:
    """Give the workers of a training; None for one thread, which needs none."""
    if n_threads <= 1:
        yield None
        return
    workers = GroupWorkers(n_threads)
    try:
        yield workers
    finally:
        workers.close()


def shared_budget(budget: int | None, total: int, n_threads: int) -> int | None:
    """Return the largest group for which every thread has one of `total`.

    Args:
        budget: largest group that fits into memory; None does not divide a batch.
        total: of the whole batch, in the unit of `budget`.
        n_threads: that work on groups.
    """
    if budget is None:
        return None
    shares = max(1, min(n_threads, total // SMALLEST_SHARE))
    return min(budget, -(-total // shares))
