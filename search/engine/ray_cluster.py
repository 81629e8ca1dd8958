"""The Ray that trials run on: this machine's own, or the cluster of RAY_ADDRESS."""

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from search.engine.stopping import SIGNALS
from sitenet_core.config.machine import available_cpus
from sitenet_core.errors import ConfigError, InfrastructureError

OBJECT_STORE_BYTES = 100_000_000
"""Segments send a few hundred bytes; Ray's default is 30 % of the memory."""

WORKER_ENVIRONMENT = {
    # A worker is reused; it waits this long for the end of the segment before. Ray's
    # two seconds make the next, innocent segment fail.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "600",
}
_ENVIRONMENT = {
    **WORKER_ENVIRONMENT,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # The journal is the record: no loggers, no snapshots, no signal handler of Ray's.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
    # Where memory runs out the kernel kills a worker, which Ray puts first in its line,
    # and its control group counts that. Were Ray's monitor the first, Tune would end
    # with the whole session (Ray 2.60 does not expect its own OutOfMemoryError there).
    "RAY_memory_monitor_refresh_ms": "0",
    # A GPU-less trial must not see the GPUs that others were given.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}


@dataclass(frozen=True)
class TrialResources:
    """What Ray sets aside for one trial."""

    cpus: int = 1
    gpus: float = 0.0


@contextmanager
def ray_connection() -> Iterator[None]:
    """Connect to Ray, and let go of it at the end. An open connection is left as it is.

    With RAY_ADDRESS set that cluster is used and stays up. Otherwise Ray is started on
    this machine and ends with the block, or with this process if that is killed.

    Raises:
        InfrastructureError: if Ray does not start or the cluster does not answer.
    """
    if ray.is_initialized():
        try:
            yield
        finally:
            # Tune hands reserved processors back when it is collected.
            gc.collect()
        return
    with _environment(), _collecting_on_demand():
        try:
            _connect(os.environ.get("RAY_ADDRESS"))
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            where = os.environ.get("RAY_ADDRESS") or "this machine"
            raise InfrastructureError(
                f"Ray does not start on {where}: {error}; `sitenet doctor` says what "
                "works"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()


def capacity(resources: TrialResources) -> int:
    """Return how many trials Ray has room for at a time.

    Raises:
        ConfigError: if there is no room for one.
    """
    total = ray.cluster_resources()
    cpus, gpus = total.get("CPU", 0.0), total.get("GPU", 0.0)
    room = int(cpus // resources.cpus)
    if resources.gpus > 0:
        room = min(room, int(gpus / resources.gpus + 1e-9))
    if room < 1:
        raise ConfigError(
            f"resources: a trial asks for {resources.cpus} CPUs and {resources.gpus:g} "
            f"GPUs, but there are {cpus:g} CPUs and {gpus:g} GPUs; ask for less, or "
            "set RAY_ADDRESS to a larger cluster"
        )
    return room


def memory_of_nodes(resources: TrialResources, concurrent: int) -> int | None:
    """Return the least memory, in bytes, that a trial has on any node of a cluster.

    None if Ray runs on this machine alone, which can be asked itself.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if [node["NodeManagerHostname"] for node in nodes] == [socket.gethostname()]:
        return None
    shares = []
    for node in nodes:
        has = node["Resources"]
        trials = min(int(has.get("CPU", 0) // resources.cpus), concurrent)
        if trials > 0:
            shares.append(has.get("memory", 0) / trials)
    return int(min(shares, default=0)) or None


def probe(address: str) -> str | None:
    """Return what keeps the cluster at `address` from answering; None if it does."""
    with _environment():
        try:
            _connect(address)
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            return str(error).strip().split("\n")[0] or type(error).__name__
        ray.shutdown()
    return None


def _connect(address: str | None) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    with _own_signals():
        _init(address)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's signal handlers: Ray sets one that exits on SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _init(address: str | None) -> None:
    if address:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        )
        return
    ray.init(
        address="local",
        num_cpus=available_cpus(),
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


@contextmanager
def _collecting_on_demand() -> Iterator[None]:
    """Let Python collect garbage only where it is told to.

    What Tune leaves behind are cycles with handles of Ray's. Where another thread, that
    of MLflow say, happens to collect them while Ray shuts down, Ray ends the process
    ("The core worker has already been shutdown", Ray 2.60). Nor are they collected
    before the shutdown: each handle would ask a cluster that may be gone already.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _environment() -> Iterator[None]:
    """Set Ray's variables while it is used; what the user has set wins."""
    added = {k: v for k, v in _ENVIRONMENT.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
