"""Expected improvement under a Gaussian process chained over the rungs.

The first trials follow a scrambled Sobol sequence. After that, a few hundred
configurations (anywhere, and around the best trials) are compared by how much they are
expected to improve on the best value of the deepest rung (Jones, Schonlau and Welch,
*Efficient Global Optimization of Expensive Black-Box Functions*, 1998, Equation 15),
times the probability that their training does not break. See `rung_chain` for the
model, `feasibility` for failures. Trials that are running count as if they were to meet
their prediction, so that a second worker is sent elsewhere. Everything is computed from
the records at every proposal; nothing is kept.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from search.engine.searchers.candidates import (
    N_ANYWHERE,
    N_AROUND,
    N_REFINED,
    Candidates,
)
from search.engine.searchers.feasibility import Feasibility, feasibility_of
from search.engine.searchers.gaussian_process import fit_hyperparameters
from search.engine.searchers.protocol import NO_EARLIER, Earlier, generator
from search.engine.searchers.rung_chain import (
    RungChain,
    Sample,
    chain_of,
    normal_scores,
)
from search.engine.searchers.units import FloatArray, UnitSpace
from search.journal.records import TrialRecord
from search.space.space import Space
from search.space.values import Value

_EARLIER_LOG_NOISE = math.log(0.5)
"""Earlier studies disagree with each other where their optima differ."""
_LEAST = math.log(0.9)
_LEAST_TRIALS = 3
"""Of a rung that becomes a link."""
_FIRST_LINK, _LATER_LINK = 150, 100
"""Most trials that a link is told: half of them the best, the others the newest."""
_ROUNDS, _REFINED_FROM = 2, 5
_BEST_OF_DEEPEST, _BEST_BEFORE = 8, 30


class GaussianSearcher:
    """Models all rungs and failures; for any space."""

    def __init__(self, startup_trials: int = 10) -> None:
        self._startup_trials = startup_trials

    def propose(
        self,
        space: Space,
        history: Sequence[TrialRecord],
        *,
        trial: int,
        seed: int,
        earlier: Earlier = NO_EARLIER,
    ) -> dict[str, Value]:
        """Return the most promising configuration, or the next of the startup.

        The startup are the trials whose number is below `startup_trials`, and those
        asked for while no trial has a value.
        """
        rungs = rungs_of(history)
        if trial < self._startup_trials or not rungs:
            return startup_sample(space, trial=trial, seed=seed)
        model = Model.of(UnitSpace(space), history, rungs, earlier)
        candidates = Candidates(model.units, generator(seed, trial))
        return model.units.decode(model.most_promising(candidates))


def startup_sample(space: Space, *, trial: int, seed: int) -> dict[str, Value]:
    """Return point number `trial` of the study's scrambled Sobol sequence."""
    # Imported here: scipy.stats takes half a second.
    from scipy.stats import qmc

    sequence = qmc.Sobol(len(space.parameters), rng=generator(seed))
    points = sequence.random_base2((trial + 1).bit_length())
    return space.from_units(points[trial].tolist())


@dataclass(frozen=True)
class Rung:
    """The trials that have a value at one epoch."""

    epoch: int
    records: tuple[TrialRecord, ...]
    """In order of number."""

    @property
    def values(self) -> FloatArray:
        """(n,) their objective there."""
        return np.array([r.rung_values[self.epoch] for r in self.records])

    def bounded(self, limit: int) -> "Rung":
        """Return the rung with its best and its newest trials only."""
        if len(self.records) <= limit:
            return self
        order = np.argsort(self.values, kind="stable")
        others = np.sort(order[limit // 2 :])[-(limit - limit // 2) :]
        kept = sorted([*order[: limit // 2].tolist(), *others.tolist()])
        return Rung(self.epoch, tuple(self.records[k] for k in kept))


def rungs_of(history: Sequence[TrialRecord]) -> tuple[Rung, ...]:
    """Return the rungs to model, from the shallowest to the deepest.

    These have three trials or more; if none has, the one with the most.
    """
    known = sorted((r for r in history if not _failed(r)), key=lambda r: r.number)
    counts = Counter(e for r in known for e in r.rung_values if _has_value(r, e))
    chosen = sorted(epoch for epoch, n in counts.items() if n >= _LEAST_TRIALS)
    if not chosen and counts:
        chosen = [max(counts, key=lambda epoch: (counts[epoch], epoch))]
    return tuple(
        Rung(epoch, tuple(r for r in known if _has_value(r, epoch))) for epoch in chosen
    )


@dataclass(frozen=True)
class Model:
    """What is expected of any configuration."""

    units: UnitSpace
    chain: RungChain
    feasibility: Feasibility | None
    target: float
    """Best score of the deepest rung."""
    best: FloatArray
    """(n, n_parameters) the best trials, of the deepest rung first."""

    @classmethod
    def of(
        cls,
        units: UnitSpace,
        history: Sequence[TrialRecord],
        rungs: Sequence[Rung],
        earlier: Earlier,
    ) -> "Model":
        """Return the model of what the records and earlier studies tell."""
        limits = [_FIRST_LINK] + [_LATER_LINK] * (len(rungs) - 1)
        rungs = [rung.bounded(n) for rung, n in zip(rungs, limits, strict=True)]
        running = [r for r in history if r.running]
        samples = [_sample(units, rung, running) for rung in rungs]
        hyper = fit_hyperparameters(
            samples[0].features, units.owners, samples[0].scores
        )
        samples[0] = replace(samples[0], log_noise=hyper.log_noise)
        told_earlier = _told_earlier(units, earlier)
        chain = chain_of([*told_earlier, *samples], hyper.log_lengths, units.owners)
        return cls(
            units=units,
            chain=chain,
            feasibility=_feasibility(units, history, rungs),
            target=float(samples[-1].scores.min()),
            best=_best(units, rungs),
        )

    def most_promising(self, candidates: Candidates) -> FloatArray:
        """Return the coordinates with the highest acquisition."""
        points = np.concatenate(
            (
                candidates.anywhere(N_ANYWHERE),
                candidates.around(self.best, N_AROUND),
            )
        )
        merits = self.merit(points)
        for _ in range(_ROUNDS):
            ahead = points[np.argsort(-merits, kind="stable")[:_REFINED_FROM]]
            refined = candidates.close_to(ahead, N_REFINED)
            points = np.concatenate((points, refined))
            merits = np.concatenate((merits, self.merit(refined)))
        return np.asarray(points[np.argmax(merits)])

    def merit(self, points: FloatArray) -> FloatArray:
        """Return the logarithm of the expected improvement that will not fail."""
        features = self.units.features(points)
        mean, deviation = self.chain.predict(features)
        merit = log_expected_improvement(mean, deviation, self.target)
        if self.feasibility is not None:
            likely = self.feasibility.log_probability(features)
            merit = np.where(likely > _LEAST, merit + likely, -1e6 + 1e3 * likely)
        return merit


def log_expected_improvement(
    mean: FloatArray, deviation: FloatArray, target: float
) -> FloatArray:
    """Return log E[max(target − f, 0)] of normal f, also where that is tiny."""
    z = (target - mean) / deviation
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    near = np.maximum(z, -5)
    exact = np.log(
        np.maximum(near * np.exp(log_ndtr(near)) + density, np.finfo(float).tiny)
    )
    # For z → −∞ the expectation is density / z², to leading order.
    tail = -0.5 * z * z - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1))
    return np.asarray(np.where(z > -5, exact, tail) + np.log(deviation))


def _sample(units: UnitSpace, rung: Rung, running: Sequence[TrialRecord]) -> Sample:
    coordinates = units.encode([r.configuration for r in rung.records])
    due = [r.configuration for r in running if not _has_value(r, rung.epoch)]
    return Sample(
        units.features(coordinates),
        normal_scores(rung.values),
        units.features(units.encode(due)),
    )


def _told_earlier(units: UnitSpace, earlier: Earlier) -> list[Sample]:
    """Return what comes before the first rung: at most one sample, of all studies."""
    observed = sorted(earlier.observations, key=lambda o: o.rank)
    if len(observed) < _LEAST_TRIALS:
        return []
    half = _FIRST_LINK // 2
    if len(observed) > _FIRST_LINK:
        spread = np.linspace(half, len(observed) - 1, _FIRST_LINK - half).astype(int)
        observed = observed[:half] + [observed[k] for k in spread]
    coordinates = units.encode([o.configuration for o in observed])
    features = units.features(coordinates)
    return [
        Sample(
            features,
            normal_scores(np.array([o.rank for o in observed])),
            features[:0],
            log_noise=_EARLIER_LOG_NOISE,
        )
    ]


def _best(units: UnitSpace, rungs: Sequence[Rung]) -> FloatArray:
    """Return the best trials of the deepest rung, then those of the rungs before."""
    chosen: list[TrialRecord] = []
    for rung in rungs:
        order = np.argsort(rung.values, kind="stable")
        ahead = [rung.records[k] for k in order[:_BEST_BEFORE]]
        chosen = ahead[:_BEST_OF_DEEPEST] + chosen if chosen else ahead
    return units.encode([r.configuration for r in chosen[: 2 * _BEST_BEFORE]])


def _feasibility(
    units: UnitSpace, history: Sequence[TrialRecord], rungs: Sequence[Rung]
) -> Feasibility | None:
    failed = [r for r in history if r.outcome is not None and r.outcome.penalised]
    if not failed:
        return None
    return feasibility_of(
        units.features(units.encode([r.configuration for r in rungs[0].records])),
        units.features(units.encode([r.configuration for r in failed[-_LATER_LINK:]])),
        units.owners,
    )


def _failed(record: TrialRecord) -> bool:
    return record.outcome is not None and record.outcome.is_failure


def _has_value(record: TrialRecord, epoch: int) -> bool:
    return math.isfinite(record.rung_values.get(epoch, math.nan))
