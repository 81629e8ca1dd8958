"""A progress line on standard error while a store is built."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sitenet_core.data import BuildProgress


@contextmanager
def build_progress(
    *, shown: bool
) -> Iterator[Callable[["BuildProgress"], None] | None]:
    """Yield what `build_store` calls with its progress, or None if it is not shown."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Featurising crystals", total=None)

        def show(progress: "BuildProgress") -> None:
            bar.update(task, completed=progress.n_read, total=progress.n_total)

        yield show
