"""Schedulers by the name that a study file uses."""

from search.engine.schedulers.asha import Asha
from search.engine.schedulers.none import FullTraining
from search.engine.schedulers.protocol import Scheduler
from sitenet_core.config import nearest
from sitenet_core.errors import ConfigError

SCHEDULERS: tuple[str, ...] = ("none", "asha")


def make_scheduler(
    kind: str, *, epochs: int, min_epochs: int = 1, eta: int = 3
) -> Scheduler:
    """Return the scheduler called `kind`.

    Args:
        kind: `none` or `asha`.
        epochs: length of a full trial.
        min_epochs: first rung of `asha`; `none` does not use it.
        eta: reduction factor of `asha`; `none` does not use it.

    Raises:
        ConfigError: for an unknown kind or rungs that do not fit.
    """
    if kind == "none":
        return FullTraining(epochs)
    if kind == "asha":
        return Asha(epochs=epochs, min_epochs=min_epochs, eta=eta)
    raise ConfigError(f"unknown scheduler {kind!r}; {nearest(kind, SCHEDULERS)}")
