"""Searchers by the name that a study file uses."""

from search.engine.searchers.protocol import Searcher
from search.engine.searchers.random import RandomSearcher
from sitenet_core.config import nearest
from sitenet_core.errors import ConfigError

STARTUP_TRIALS: dict[str, int] = {
    "gaussian": 10,
    "hyperopt": 20,
    "optuna": 20,
    "random": 0,
}
"""Searcher → number of first trials before its model is asked, unless told otherwise;
`random` has no model."""
SEARCHERS: tuple[str, ...] = tuple(STARTUP_TRIALS)


def make_searcher(name: str, *, startup_trials: int | None = None) -> Searcher:
    """Return the searcher called `name`.

    Args:
        name: one of `SEARCHERS`.
        startup_trials: number of first trials before a model is asked; None is the
            searcher's own.

    Raises:
        ConfigError: for an unknown name, or one whose optional package is missing.
    """
    if name not in STARTUP_TRIALS:
        raise ConfigError(f"unknown searcher {name!r}; {nearest(name, SEARCHERS)}")
    n = STARTUP_TRIALS[name] if startup_trials is None else startup_trials
    # Imported here: each takes half a second or more, and only one is needed.
    if name == "gaussian":
        from search.engine.searchers.gaussian import GaussianSearcher

        return GaussianSearcher(n)
    if name == "hyperopt":
        from search.engine.searchers.hyperopt_tpe import HyperoptSearcher

        return HyperoptSearcher(n)
    if name == "optuna":
        from search.engine.searchers.optuna_tpe import OptunaSearcher

        return OptunaSearcher(n)
    return RandomSearcher()
