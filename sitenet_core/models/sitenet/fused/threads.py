"""Rows shared out among as many threads as torch uses, for kernels of our own."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch

SMALLEST_PART = 200_000
"""Numbers, about 0.1 ms of work, for which another thread pays."""


def parts_of(n_rows: int, width: int) -> list[tuple[int, int]]:
    """Return the ranges (begin, end) of rows, one for each thread that is worth it."""
    n_parts = max(1, min(torch.get_num_threads(), n_rows * width // SMALLEST_PART))
    cuts = [n_rows * part // n_parts for part in range(n_parts + 1)]
    return list(pairwise(cuts))


def for_each_part(
    parts: list[tuple[int, int]], work: Callable[[int, int, int], None]
) -> None:
    """Call `work(part, begin, end)` for every part, at the same time where several.

    Work that adds up must add into a place of its own part; the sum of the parts in
    their order is then the same in every run.
    """
    if len(parts) == 1:
        work(0, *parts[0])
        return
    calls = [
        _pool().submit(work, part, begin, end)
        for part, (begin, end) in enumerate(parts)
    ]
    for call in calls:
        call.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sitenet-kernel")


# A forked child has the pool but not its threads, and would wait for them for ever.
os.register_at_fork(after_in_child=_pool.cache_clear)
