"""A driver in which another thread collects garbage while Ray shuts down.

    python -m support.ray_shutdown

Prints `ended` if the process lives on.
"""

import gc
import threading
from typing import Any

import ray

from search.engine.ray_cluster import ray_connection

HANDLES = 50_000


class Core:
    """Ray's core, which says when it begins to shut down."""

    def __init__(self, core: Any, down: threading.Event) -> None:
        self._core, self._down = core, down

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def shutdown_driver(self) -> None:
        self._down.set()
        self._core.shutdown_driver()


def collect_as_python_may(down: threading.Event) -> None:
    """Collect everything in the moment in which Ray must not be touched."""
    down.wait()
    if gc.isenabled():
        gc.collect()


def main() -> None:
    down = threading.Event()
    threading.Thread(target=collect_as_python_may, args=(down,), daemon=True).start()
    with ray_connection():
        # Tune leaves such a cycle behind, a smaller one.
        handle = ray.put("anything").binary()
        cycle: list[Any] = [ray.ObjectRef(handle) for _ in range(HANDLES)]
        cycle.append(cycle)
        del cycle
        worker = ray._private.worker.global_worker
        worker.core_worker = Core(worker.core_worker, down)
    print("ended")  # noqa: T201 (it is waited for)


if __name__ == "__main__":
    main()
