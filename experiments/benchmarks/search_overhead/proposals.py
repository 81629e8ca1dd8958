"""Seconds of a proposal, after so many trials of the 2023 space."""

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna

from search.engine.searchers import Searcher, make_searcher, next_proposal
from search.engine.searchers.factory import SEARCHERS
from search.journal import TrialRecord
from search.space import Space
from search.space.parameters import ChoiceParameter, FloatParameter, Parameter
from search.trial.outcome import Outcome

EPOCHS = (1, 3, 9, 27)
"""Rungs of the trials that are known."""
PEER = "optuna tpe (multivariate)"


def loss(space: Space, flat: dict[str, Any], epoch: int) -> float:
    """Return the value of a trial: a bowl in the unit cube, reached slowly."""
    active = space.active(flat)
    units = [_unit(space.parameters[name], flat[name]) for name in active]
    return float(np.mean([(u - 0.4) ** 2 for u in units]) + 0.1 / epoch)


def history(space: Space, n: int) -> list[TrialRecord]:
    """Return `n` trials as successive halving leaves them: 1 in 3 goes on."""
    records = []
    for number in range(n):
        # Known-good configurations that no trial has would come before any model.
        is_known = number < len(space.known_good)
        flat = (
            space.resolve(space.known_good[number])
            if is_known
            else space.sample(np.random.default_rng((7, number)))
        )
        rungs = EPOCHS[: 1 + sum(number % 3**k == 0 for k in (1, 2, 3))]
        values = {epoch: loss(space, flat, epoch) for epoch in rungs}
        records.append(
            TrialRecord(
                number,
                flat,
                outcome=Outcome.COMPLETED if len(rungs) == len(EPOCHS) else None,
                rung_values=values,
                epoch_values=values,
                last_epoch=rungs[-1],
                target_epoch=rungs[-1],
                last_checkpoint="checkpoint",
            )
        )
    return records


def proposals(space: Space, n: int, repetitions: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds of a proposal after `n` trials, by searcher."""
    records = history(space, n)
    found = {}
    for name in SEARCHERS:
        searcher = make_searcher(name)
        found[name] = timed(
            lambda k, s=searcher: _ask(space, records, s, k), repetitions
        )
    study = optuna_study(space, records)
    found[PEER] = timed(lambda _: suggest(space, study.ask()), repetitions)
    return found


def timed(do: Callable[[int], object], repetitions: int) -> dict[str, float]:
    """Return medians over calls, wall and processor milliseconds, less the first.

    The first call compiles a space and loads modules; it comes once per session.
    """
    wall, processor = [], []
    for repetition in range(repetitions + 1):
        began, used = time.perf_counter(), time.process_time()
        do(repetition)
        wall.append(1000 * (time.perf_counter() - began))
        processor.append(1000 * (time.process_time() - used))
    return {
        "first_wall_ms": wall[0],
        "wall_ms": statistics.median(wall[1:]),
        "cpu_ms": statistics.median(processor[1:]),
    }


def _ask(
    space: Space, records: Sequence[TrialRecord], searcher: Searcher, repetition: int
) -> None:
    # One trial more is known each time: nothing that a searcher kept of the last call
    # answers this one.
    known = records[: len(records) - 20 + repetition]
    next_proposal(searcher, space, known, trial=len(known), seed=1)


def optuna_study(space: Space, records: Sequence[TrialRecord]) -> optuna.Study:
    """Return a study of Optuna that knows the same trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        # `group` is what a conditional space needs, and is announced as experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=1)
    study = optuna.create_study(sampler=sampler)
    for record in records:
        study.add_trial(
            optuna.trial.create_trial(
                params={k: record.configuration[k] for k in _active(space, record)},
                distributions={
                    k: distribution(space.parameters[k]) for k in _active(space, record)
                },
                value=record.value,
            )
        )
    return study


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Return a configuration that Optuna proposes."""
    flat: dict[str, Any] = dict.fromkeys(space.parameters)
    for name, parameter in space.parameters.items():
        if name in space.active(flat):
            flat[name] = trial._suggest(name, distribution(parameter))  # noqa: SLF001
    return flat


def distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    """Return a parameter in Optuna's words."""
    if isinstance(parameter, ChoiceParameter):
        return optuna.distributions.CategoricalDistribution(list(parameter.values))
    if isinstance(parameter, FloatParameter):
        return optuna.distributions.FloatDistribution(
            parameter.low, parameter.high, log=parameter.log
        )
    return optuna.distributions.IntDistribution(parameter.low, parameter.high)


def _active(space: Space, record: TrialRecord) -> list[str]:
    return list(space.active(record.configuration))


def _unit(parameter: Parameter, value: Any) -> float:
    if isinstance(parameter, ChoiceParameter):
        return list(parameter.values).index(value) / parameter.size
    return float((value - parameter.low) / (parameter.high - parameter.low))
