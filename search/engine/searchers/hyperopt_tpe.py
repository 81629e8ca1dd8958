"""HyperOpt's tree-structured Parzen estimator behind our contract.

Bergstra et al., *Algorithms for Hyper-Parameter Optimization*, NeurIPS 2011, Section 4.
This is the only module that imports hyperopt. It uses `tpe.suggest` alone: the history
is rebuilt from the records at every proposal, so nothing is kept between two of them.

A space becomes one flat hyperopt label per parameter, in raw coordinates (see
`search.space.parameters`): `uniform` over the cells of an integer, `uniform` or
`loguniform` for a float, `randint` over the indices of a choice. Conditions are not
told to hyperopt. Its densities are independent per label and learn from the trials
that list a value for the label, and a trial lists values for its active parameters
only; an inactive parameter that is proposed is dropped by `Space.from_raw`. So this
model is the one that nested spaces would give, without the cost of their graph.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hyperopt import hp, tpe, trials_from_docs
from hyperopt.base import JOB_STATE_DONE, Domain

from search.engine.searchers.protocol import NO_EARLIER, Earlier, generator
from search.engine.searchers.told import tell_places
from search.journal.records import TrialRecord
from search.space.parameters import ChoiceParameter, FloatParameter, Parameter
from search.space.space import Space
from search.space.values import FlatConfiguration, Value

MAX_ATTEMPTS = 20
"""At a configuration that the constraints of the space allow. What they forbid counts,
for this one proposal, as a trial with the worst loss, so that the model moves away: on
a bowl whose optimum the constraint x + y <= 1 cuts off (45 trials, 4 seeds), all of its
proposals are allowed then, against 2 % at the first attempt, and the loss above the
best allowed one is 0.005 instead of 0.017. Asking again without telling does little."""

_TPE_STREAM = 2


class HyperoptSearcher:
    """TPE with hyperopt's own settings, told places, penalties and a liar.

    Kept between calls are pure functions alone: the space, compiled, and what each
    configuration is in hyperopt's form, which takes longer than all else together.
    """

    def __init__(self, startup_trials: int = 20) -> None:
        self._startup_trials = startup_trials
        self._compiled: tuple[str, Domain] | None = None
        self._miscs: dict[tuple[str, int], tuple[FlatConfiguration, _Misc]] = {}

    def propose(
        self,
        space: Space,
        history: Sequence[TrialRecord],
        *,
        trial: int,
        seed: int,
        earlier: Earlier = NO_EARLIER,  # noqa: ARG002 - part of the contract
    ) -> dict[str, Value]:
        """Return TPE's proposal, or a random configuration.

        Random are the trials whose number is below `startup_trials`, and those asked
        for while no trial has a value.
        """
        numbers = generator(seed, trial)
        told = tell_places(history)
        if trial < self._startup_trials or not told:
            return space.sample(numbers)
        documents = [_document(self._misc(space, t.record), t.loss) for t in told]
        number = 1 + max(trial, *(entry.record.number for entry in told))
        worst = max(entry.loss for entry in told)
        seeds = generator(seed, trial, _TPE_STREAM).integers(2**31, size=MAX_ATTEMPTS)
        for attempt, attempt_seed in enumerate(seeds.tolist(), start=number):
            flat = self._suggestion(space, documents, attempt, attempt_seed)
            if space.allows(flat):
                break
            documents.append(_document(_misc(space, attempt, flat), worst))
        return flat

    def _suggestion(
        self, space: Space, documents: list[dict[str, Any]], number: int, seed: int
    ) -> dict[str, Value]:
        trials = trials_from_docs(documents, validate=False)
        (proposed,) = tpe.suggest(
            [number], self._domain(space), trials, seed, n_startup_jobs=0, verbose=False
        )
        raw = {name: values[0] for name, values in proposed["misc"]["vals"].items()}
        return space.from_raw(raw)

    def _misc(self, space: Space, record: TrialRecord) -> "_Misc":
        flat, place = record.configuration, (space.digest, record.number)
        known = self._miscs.get(place)
        if known is None or known[0] is not flat:
            known = flat, _misc(space, record.number, flat)
            self._miscs[place] = known
        return known[1]

    def _domain(self, space: Space) -> Domain:
        if self._compiled is None or self._compiled[0] != space.digest:
            self._compiled = (space.digest, compile_space(space))
        return self._compiled[1]


def compile_space(space: Space) -> Domain:
    """Return `space` as a hyperopt domain with one label per parameter."""
    labels = {name: _label(name, p) for name, p in space.parameters.items()}
    return Domain(_never_called, labels)


def _label(name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, ChoiceParameter):
        return hp.randint(name, parameter.size)
    if not isinstance(parameter, FloatParameter):
        # The cells [value - ½, value + ½): every integer has the same width.
        return hp.uniform(name, parameter.low - 0.5, parameter.high + 0.5)
    if parameter.log:
        return hp.loguniform(name, math.log(parameter.low), math.log(parameter.high))
    return hp.uniform(name, parameter.low, parameter.high)


_Misc = dict[str, Any]


def _misc(space: Space, number: int, flat: FlatConfiguration) -> _Misc:
    """Return the number and the configuration of a trial in hyperopt's form."""
    active = set(space.active(flat))
    raw = {
        name: [parameter.to_raw(flat[name])] if name in active else []
        for name, parameter in space.parameters.items()
    }
    return {
        "tid": number,
        "cmd": None,
        "idxs": {name: [number] * len(values) for name, values in raw.items()},
        "vals": raw,
    }


def _document(misc: _Misc, loss: float) -> dict[str, Any]:
    """Return a told trial in hyperopt's form."""
    return {
        "tid": misc["tid"],
        "state": JOB_STATE_DONE,
        "result": {"status": "ok", "loss": loss},
        "misc": misc,
        "spec": None,
        "owner": None,
        "book_time": None,
        "refresh_time": None,
        "exp_key": None,
        "version": 0,
    }


def _never_called(_configuration: object) -> float:
    """Stand in for the objective, which hyperopt asks for and `suggest` never calls."""
    return np.nan
