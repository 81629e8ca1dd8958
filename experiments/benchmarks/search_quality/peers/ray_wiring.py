"""HyperOpt and ASHA as Ray Tune wires them: Ray's own objects, called in its order.

The searcher is told the last value of every trial, whichever epoch that is, and never
hears of a trial that failed. ASHA is the stopping type.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from experiments.benchmarks.search_quality.peers.training import (
    FIRST_RUNG,
    BrokenTrainingError,
    Budget,
)
from experiments.benchmarks.search_quality.problem import Problem
from experiments.benchmarks.search_quality.simulate import Trace
from search.space import Space
from search.space.parameters import ChoiceParameter, FloatParameter, Parameter
from search.space.values import Value

METRIC, EPOCH = "loss", "training_iteration"


class _Searcher(Protocol):
    """The part of Ray's searchers that is called here."""

    def suggest(self, trial_id: str) -> dict[str, Any]: ...

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None: ...

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None, *, error: bool = False
    ) -> None: ...


class RandomSuggestions:
    """Independent configurations with the face of a searcher of Ray."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._numbers = np.random.default_rng(seed)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return a random configuration."""
        del trial_id
        return dict(self._space.sample(self._numbers))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Learn nothing."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None, *, error: bool = False
    ) -> None:
        """Learn nothing."""


def run_ray_wiring(
    problem: Problem, seed: int, epochs: int, *, searcher: str, asha: bool
) -> Trace:
    """Search one trial at a time with Ray's objects.

    Args:
        problem: what is minimised.
        seed: of the searcher.
        epochs: budget.
        searcher: `hyperopt` or `random`.
        asha: stop trials by ASHA (rungs 3, 9, 27), else train all to the end.
    """
    budget = Budget(problem, epochs)
    suggestions = (
        RandomSuggestions(problem.space, seed)
        if searcher == "random"
        else _hyperopt(problem.space, seed)
    )
    stopper = _asha(problem.epochs) if asha else None
    while budget.is_left:
        _trial(budget, suggestions, stopper)
    return budget.trace()


def _trial(budget: Budget, suggestions: _Searcher, stopper: Any) -> None:
    identity = f"{len(budget.failed):05d}"
    trial = SimpleNamespace(trial_id=identity)
    flat: Mapping[str, Value] = suggestions.suggest(identity)
    if stopper is not None:
        stopper.on_trial_add(None, trial)
    result: dict[str, Any] = {}
    try:
        for epoch, value in budget.train(flat):
            result = {METRIC: value, EPOCH: epoch}
            decision = stopper and stopper.on_trial_result(None, trial, result)
            if decision == "STOP" or epoch == budget.problem.epochs:
                break
            suggestions.on_trial_result(identity, result)
    except BrokenTrainingError:
        suggestions.on_trial_complete(identity, None, error=True)
        if stopper is not None:
            stopper.on_trial_remove(None, trial)
        return
    suggestions.on_trial_complete(identity, result)
    if stopper is not None:
        stopper.on_trial_complete(None, trial, result)


def _asha(epochs: int) -> Any:
    from ray.tune.schedulers import AsyncHyperBandScheduler

    return AsyncHyperBandScheduler(
        time_attr=EPOCH,
        metric=METRIC,
        mode="min",
        max_t=epochs,
        grace_period=FIRST_RUNG,
        reduction_factor=3,
    )


def _hyperopt(space: Space, seed: int) -> Any:
    from ray.tune.search.hyperopt import HyperOptSearch

    domain = {name: _domain(p) for name, p in space.parameters.items()}
    converted = HyperOptSearch.convert_search_space(domain)
    return HyperOptSearch(converted, metric=METRIC, mode="min", random_state_seed=seed)


def _domain(parameter: Parameter) -> Any:
    from ray import tune

    if isinstance(parameter, ChoiceParameter):
        return tune.choice(list(parameter.values))
    if not isinstance(parameter, FloatParameter):
        return tune.randint(parameter.low, parameter.high + 1)
    kind = tune.loguniform if parameter.log else tune.uniform
    return kind(parameter.low, parameter.high)
