"""Searchers by the name that a study file uses."""

from search.engine.searchers.protocol import Searcher
from search.engine.searchers.random import RandomSearcher
from sitenet_core.config import nearest
from sitenet_core.errors import ConfigError

SEARCHERS: tuple[str, ...] = ("random", "hyperopt", "gaussian")


def make_searcher(name: str, *, startup_trials: int = 20) -> Searcher:
    """Return the searcher called `name`.

    Args:
        name: `random` or `hyperopt`.
        startup_trials: number of first trials that are random before a model is asked;
            `random` does not use it.

    Raises:
        ConfigError: for an unknown name.
    """
    if name == "random":
        return RandomSearcher()
    if name == "hyperopt":
        # Imported here: hyperopt takes over a second, and `random` does not need it.
        from search.engine.searchers.hyperopt_tpe import HyperoptSearcher

        return HyperoptSearcher(startup_trials)
    if name == "gaussian":
        from search.engine.searchers.gaussian import GaussianSearcher

        return GaussianSearcher()
    raise ConfigError(f"unknown searcher {name!r}; {nearest(name, SEARCHERS)}")
