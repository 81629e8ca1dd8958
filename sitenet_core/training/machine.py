"""The surroundings of a training: device, threads, random state, silence."""

import logging
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from sitenet_core.errors import ConfigError

DeviceChoice = Literal["auto", "cpu", "gpu"]
"""`auto` is the GPU where there is one."""
Device = Literal["cpu", "gpu"]

_KIB = 1024

# Said by Lightning in runs that are as they should be (regular expressions).
_EXPECTED_WARNINGS = (
    # `device: cpu` on a machine with a GPU.
    r"GPU available but not used",
    # Lightning 2.6 uses what torch 2.13 renames; both are pinned in pairs that work.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)


def choose_device(wanted: DeviceChoice) -> Device:
    """Return the device to train on; `auto` is the GPU where there is one.

    Raises:
        ConfigError: if a GPU is wanted and there is none.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError(
            "device 'gpu' was asked for, but torch sees no GPU; use device 'cpu' or "
            "'auto', or install a CUDA build of torch"
        )
    return "gpu"


@contextmanager
def torch_threads(wanted: int | None) -> Iterator[int]:
    """Set torch's CPU threads for a while; gives the number in force."""
    before = torch.get_num_threads()
    if wanted is not None:
        torch.set_num_threads(wanted)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@contextmanager
def own_random_state(device: Device, seed: int) -> Iterator[None]:
    """Seed torch for a while and give its random state back afterwards."""
    with torch.random.fork_rng(devices=range(int(device == "gpu"))):
        torch.manual_seed(seed)
        yield


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's tips and the warnings that are expected here."""
    loggers = [
        logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C through as KeyboardInterrupt.

    On an interrupt Lightning ignores SIGINT from then on and exits with code 1; here
    the caller's handler is put back and the interrupt goes on to the caller.
    """
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main else None
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


def peak_bytes(device: Device) -> int:
    """Return the largest memory: allocated on the GPU, or resident in the process."""
    if device == "gpu":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB
