"""One thread for the linear algebra of a proposal."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread for a while.

    Its matrices have a hundred rows or two: two threads take twice as long as one. And
    the order of sums is then that of any machine, so that a study that is resumed with
    other cores proposes the same.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    """Return what knows the libraries that are loaded, numpy's and scipy's with us."""
    return ThreadpoolController()
