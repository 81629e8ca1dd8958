"""Optuna's multivariate TPE behind our contract, by its ask/tell interface.

For comparison on one's own problem; needs `pip install 'sitenet-search[optuna]'`. This
is the only module that imports optuna. As for hyperopt, the history is rebuilt from
the records at every proposal and told as `told` says: one rung, penalties, a liar. A
parameter is a number in its unit coordinate, or the index of a choice; conditional
parameters are listed by the trials that have them, and `group` models them apart.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from search.engine.searchers.protocol import NO_EARLIER, Earlier, generator
from search.engine.searchers.told import Told, tell
from search.journal.records import TrialRecord
from search.space.parameters import ChoiceParameter, Parameter
from search.space.space import Space
from search.space.values import Value
from sitenet_core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

_STREAM = 3


class OptunaSearcher:
    """`TPESampler(multivariate=True, group=True)`, made anew for every proposal."""

    def __init__(self, startup_trials: int = 20) -> None:
        """Fail early if optuna is missing.

        Raises:
            ConfigError: then.
        """
        try:
            import optuna
        except ImportError as error:
            raise ConfigError(
                "algorithm.searcher optuna needs the package optuna: "
                "pip install 'sitenet-search[optuna]'"
            ) from error
        # It greets every new study on standard error otherwise.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._startup_trials = startup_trials

    def propose(
        self,
        space: Space,
        history: Sequence[TrialRecord],
        *,
        trial: int,
        seed: int,
        earlier: Earlier = NO_EARLIER,  # noqa: ARG002 - part of the contract
    ) -> dict[str, Value]:
        """Return TPE's proposal, or a random configuration during the startup."""
        told = tell(history, len(space.parameters))
        if trial < self._startup_trials or not told:
            return space.sample(generator(seed, trial))
        number = int(generator(seed, trial, _STREAM).integers(2**31))
        distributions = {name: _distribution(p) for name, p in space.parameters.items()}
        asked = _asked([_frozen(space, entry, distributions) for entry in told], number)
        active: dict[str, Value] = {}
        for name in space.order:
            parameter = space.parameters[name]
            if all(
                c.parameter in active and c.holds(active[c.parameter])
                for c in parameter.when
            ):
                active[name] = _value(parameter, _suggested(asked, name, distributions))
        return space.resolve(active)


def _asked(trials: "list[FrozenTrial]", seed: int) -> "Trial":
    """Return optuna's next trial after `trials`."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            multivariate=True, group=True, n_startup_trials=0, seed=seed
        )
        study = optuna.create_study(sampler=sampler)
        study.add_trials(trials)
        return study.ask()


def _frozen(
    space: Space, told: Told, distributions: "dict[str, BaseDistribution]"
) -> "FrozenTrial":
    """Return a told trial in optuna's form."""
    import optuna

    flat = told.record.configuration
    active = space.active(flat)
    return optuna.trial.create_trial(
        params={
            name: _coordinate(space.parameters[name], flat[name]) for name in active
        },
        distributions={name: distributions[name] for name in active},
        value=told.loss,
    )


def _suggested(
    asked: "Trial", name: str, distributions: "dict[str, BaseDistribution]"
) -> Any:
    from optuna.distributions import CategoricalDistribution

    distribution = distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        return asked.suggest_categorical(name, distribution.choices)
    return asked.suggest_float(name, 0.0, 1.0)


def _distribution(parameter: Parameter) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(parameter, ChoiceParameter):
        return CategoricalDistribution(tuple(range(parameter.size)))
    return FloatDistribution(0.0, 1.0)


def _coordinate(parameter: Parameter, value: Value) -> float:
    if isinstance(parameter, ChoiceParameter):
        return parameter.to_raw(value)
    return min(max(parameter.to_unit(value), 0.0), 1.0)


def _value(parameter: Parameter, coordinate: float) -> Value:
    if isinstance(parameter, ChoiceParameter):
        return parameter.from_raw(coordinate)
    return parameter.from_unit(coordinate)
