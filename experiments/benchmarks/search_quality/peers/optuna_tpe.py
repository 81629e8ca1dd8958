"""Optuna's TPE by ask and tell, with and without its own pruners.

A trial is told the best value of its epochs, which is what is minimised. The pruners
see the value of every epoch. Halving and Hyperband get the rungs of our scheduler.
"""

from collections.abc import Callable
from typing import Any

from experiments.benchmarks.search_quality.peers.training import (
    FIRST_RUNG,
    BrokenTrainingError,
    Budget,
)
from experiments.benchmarks.search_quality.problem import Problem
from experiments.benchmarks.search_quality.simulate import Trace
from search.space.parameters import ChoiceParameter, FloatParameter, Parameter
from search.space.values import Value

PRUNERS = ("none", "median", "halving", "hyperband")


def run_optuna(
    problem: Problem,
    seed: int,
    epochs: int,
    *,
    pruner: str = "none",
    multivariate: bool = True,
) -> Trace:
    """Search with Optuna, one trial at a time.

    Args:
        problem: what is minimised.
        seed: of the sampler.
        epochs: budget.
        pruner: one of `PRUNERS`.
        multivariate: Optuna 5's default; False is the default of its earlier versions.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    budget = Budget(problem, epochs)
    study = optuna.create_study(
        # None is the default: saying True would warn of an experimental argument.
        sampler=optuna.samplers.TPESampler(
            seed=seed, multivariate=None if multivariate else False
        ),
        pruner=_pruner(pruner, problem.epochs),
    )
    while budget.is_left:
        _trial(budget, study)
    return budget.trace()


def _trial(budget: Budget, study: Any) -> None:
    from optuna.trial import TrialState

    trial = study.ask()
    parameters = budget.problem.space.parameters
    flat = {name: _suggested(trial, name, p) for name, p in parameters.items()}
    best = float("inf")
    try:
        for epoch, value in budget.train(flat):
            best = min(best, value)
            trial.report(value, epoch)
            if epoch < budget.problem.epochs and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return
    except BrokenTrainingError:
        study.tell(trial, state=TrialState.FAIL)
        return
    study.tell(trial, best)


def _suggested(trial: Any, name: str, parameter: Parameter) -> Value:
    found: Value
    if isinstance(parameter, ChoiceParameter):
        found = trial.suggest_categorical(name, list(parameter.values))
    elif isinstance(parameter, FloatParameter):
        low, high = parameter.low, parameter.high
        found = trial.suggest_float(name, low, high, log=parameter.log)
    else:
        found = trial.suggest_int(name, parameter.low, parameter.high)
    return found


def _pruner(name: str, epochs: int) -> Any:
    from optuna import pruners

    first, eta = FIRST_RUNG, 3
    known: dict[str, Callable[[], Any]] = {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "halving": lambda: pruners.SuccessiveHalvingPruner(first, reduction_factor=eta),
        "hyperband": lambda: pruners.HyperbandPruner(
            first, epochs, reduction_factor=eta
        ),
    }
    return known[name]()
