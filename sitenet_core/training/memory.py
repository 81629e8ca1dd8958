"""Every way in which memory can run out, as one error."""

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from sitenet_core.errors import OutOfMemoryError

_MEMORY_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that host or device had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(
        message in str(error) for message in _MEMORY_MESSAGES
    )


@contextmanager
def memory_errors(
    what: str, at_once: Callable[[], tuple[int, bool]] | None = None
) -> Iterator[None]:
    """Turn every form of lacking memory into OutOfMemoryError.

    Args:
        what: what was being done, for the message.
        at_once: returns the attributes of the error; asked only then.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        # The frames hold the tensors that did not fit; let go of them.
        traceback.clear_frames(error.__traceback__)
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        micro_batch, smallest = (None, False) if at_once is None else at_once()
        raise OutOfMemoryError(
            f"no memory left for {what}: {reason}; use a smaller batch, network or "
            "supercell, or a machine with more memory",
            micro_batch,
            smallest=smallest,
        ) from error
