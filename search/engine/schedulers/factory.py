"""Schedulers by the name that a study file uses."""

from search.engine.schedulers.asha import Asha
from search.engine.schedulers.none import FullTraining
from search.engine.schedulers.protocol import Scheduler
from search.engine.schedulers.stopping_asha import StoppingAsha
from sitenet_core.config import nearest
from sitenet_core.errors import ConfigError

SCHEDULERS: tuple[str, ...] = ("none", "asha")
MODES: dict[str, type[Asha] | type[StoppingAsha]] = {
    "promotion": Asha,
    "stopping": StoppingAsha,
}
"""Types of `asha`."""


def make_scheduler(
    kind: str,
    *,
    epochs: int,
    min_epochs: int = 1,
    eta: int = 3,
    mode: str = "promotion",
) -> Scheduler:
    """Return the scheduler called `kind`.

    Args:
        kind: `none` or `asha`.
        epochs: length of a full trial.
        min_epochs: first rung of `asha`; `none` does not use it.
        eta: reduction factor of `asha`; `none` does not use it.
        mode: type of `asha`, `promotion` or `stopping`; `none` does not use it.

    Raises:
        ConfigError: for an unknown kind or mode, or rungs that do not fit.
    """
    if kind == "none":
        return FullTraining(epochs)
    if kind == "asha":
        if mode not in MODES:
            raise ConfigError(f"unknown mode {mode!r} of asha; {nearest(mode, MODES)}")
        return MODES[mode](epochs=epochs, min_epochs=min_epochs, eta=eta)
    raise ConfigError(f"unknown scheduler {kind!r}; {nearest(kind, SCHEDULERS)}")
