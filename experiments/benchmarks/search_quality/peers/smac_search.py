"""SMAC's facade for hyperparameters (a random forest) by ask and tell."""

import tempfile
from pathlib import Path
from typing import Any

from experiments.benchmarks.search_quality.peers.training import (
    BrokenTrainingError,
    Budget,
)
from experiments.benchmarks.search_quality.problem import Problem
from experiments.benchmarks.search_quality.simulate import Trace
from search.space import Space
from search.space.parameters import ChoiceParameter, FloatParameter, Parameter

_QUIET = 40


def run_smac(problem: Problem, seed: int, epochs: int) -> Trace:
    """Search with SMAC, full trainings, one at a time; told the best of each."""
    budget = Budget(problem, epochs)
    with tempfile.TemporaryDirectory() as folder:
        facade = _facade(problem, seed, epochs // problem.epochs, Path(folder))
        while budget.is_left:
            _trial(budget, facade)
    return budget.trace()


def _trial(budget: Budget, facade: Any) -> None:
    from smac.runhistory.dataclasses import TrialValue
    from smac.runhistory.enumerations import StatusType

    asked = facade.ask()
    try:
        told = TrialValue(cost=budget.best_of(dict(asked.config)))
    except BrokenTrainingError:
        told = TrialValue(cost=float("inf"), status=StatusType.CRASHED)
    facade.tell(asked, told)


def _facade(problem: Problem, seed: int, trials: int, folder: Path) -> Any:
    from smac import HyperparameterOptimizationFacade, Scenario

    scenario = Scenario(
        _configuration_space(problem.space, seed),
        n_trials=trials,
        deterministic=True,
        seed=seed,
        output_directory=folder,
    )
    return HyperparameterOptimizationFacade(
        scenario, _never_called, overwrite=True, logging_level=_QUIET
    )


def _configuration_space(space: Space, seed: int) -> Any:
    from ConfigSpace import ConfigurationSpace

    found = ConfigurationSpace(seed=seed)
    found.add(_hyperparameter(name, p) for name, p in space.parameters.items())
    return found


def _hyperparameter(name: str, parameter: Parameter) -> Any:
    from ConfigSpace import Categorical, Float, Integer

    if isinstance(parameter, ChoiceParameter):
        return Categorical(name, list(parameter.values))
    bounds: Any = (parameter.low, parameter.high)
    if isinstance(parameter, FloatParameter):
        return Float(name, bounds, log=parameter.log)
    return Integer(name, bounds)


def _never_called(_config: object, seed: int = 0) -> float:
    """Stand in for the function that the facade asks for; `tell` brings the values."""
    raise NotImplementedError(seed)
