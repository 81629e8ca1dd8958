"""Expected improvement under a Gaussian process chained over the rungs.

The first trials follow a scrambled Sobol sequence. After that, a few hundred
configurations (anywhere, and around the best trials) are compared by how much they are
expected to improve on the best value of the deepest rung, or on one well ahead of it,
in turn (Jones, Schonlau and Welch, *Efficient Global Optimization of Expensive
Black-Box Functions*, 1998, Equation 15), times the probability that their training does
not break. See `rung_chain` for the model, `feasibility` for failures. Trials that are
running count as if they were to meet their prediction, so that a second worker is sent
elsewhere. Everything is computed from the records at every proposal; nothing is kept.
"""

import math
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
from search.engine.searchers.evidence import Evidence, told_earlier
from search.engine.searchers.feasibility import Feasibility, feasibility_of
from search.engine.searchers.gaussian_process import fit_hyperparameters
from search.engine.searchers.protocol import NO_EARLIER, Earlier, generator
from search.engine.searchers.rung_chain import RungChain, chain_of
from search.engine.searchers.threads import one_thread
from search.engine.searchers.units import FloatArray, UnitSpace
from search.journal.records import TrialRecord
from search.space.space import Space
from search.space.values import Value

_AHEAD = (0.0, 1.0, 3.0)
"""Normal scores by which a configuration is to be better than the best that is known,
in turn. Improvement on the best itself refines what is good already; alone it stays too
close to it. Far ahead of it, what may be much better counts most; alone that refines
nothing."""
_AHEAD_OF_RUNNING = 1.2
"""Times ln(1 + running trials): the least of the same while others run."""
_REFINES = 6
"""With several workers, whose trials teach each other late, one proposal in so many
refines, and not one in three."""
_BELIEF = 10.0
"""Trials after which a prior of the space has the power of one."""
_LEAST = math.log(0.9)
"""Probability of success below which a configuration is proposed only if no candidate
has more; with the border of a failing region next to the optimum, weighing alone lets
most proposals fail."""
_ROUNDS, _REFINED_FROM = 2, 5


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
        evidence = Evidence.of(UnitSpace(space), history)
        if trial < self._startup_trials or evidence is None:
            return startup_sample(space, trial=trial, seed=seed)
        ahead = scores_ahead(trial, n_running=sum(r.running for r in history))
        with one_thread():
            model = Model.of(evidence, earlier, ahead)
            candidates = Candidates(model.units, generator(seed, trial))
            return model.units.decode(model.most_promising(candidates))


def scores_ahead(trial: int, *, n_running: int) -> float:
    """Return by how many normal scores proposal number `trial` is to beat the best.

    Trials that run all lie where the model expected most. The more there are, the
    farther from what is known the next one has to look not to repeat them.
    """
    turn = _AHEAD[trial % len(_AHEAD)]
    if n_running == 0 or trial % _REFINES == 0:
        return turn
    return max(turn, _AHEAD_OF_RUNNING * math.log1p(n_running))


def startup_sample(space: Space, *, trial: int, seed: int) -> dict[str, Value]:
    """Return point number `trial` of the study's scrambled Sobol sequence."""
    # Imported here: scipy.stats takes half a second.
    from scipy.stats import qmc

    sequence = qmc.Sobol(len(space.parameters), rng=generator(seed))
    points = sequence.random_base2((trial + 1).bit_length())
    flat = space.from_units(space.drawn_units(points[trial]).tolist())
    return flat if space.allows(flat) else space.sample(generator(seed, trial))


@dataclass(frozen=True)
class Model:
    """What is expected of any configuration."""

    units: UnitSpace
    chain: RungChain
    feasibility: Feasibility | None
    target: float
    """Best score of the deepest rung, as seen or as believed of running trials."""
    ahead: float
    """Normal scores by which that is to be improved on."""
    best: FloatArray
    """(n, n_parameters) the best trials, of the deepest rung first."""
    belief: float
    """Power to which priors of the space enter, less with every trial (Hvarfner et al.,
    *πBO*, ICLR 2022, arXiv:2204.11051, Equation 6)."""

    @classmethod
    def of(cls, evidence: Evidence, earlier: Earlier, ahead: float = 0.0) -> "Model":
        """Return the model of what the records and earlier studies tell."""
        units, samples = evidence.units, evidence.samples
        first = samples[0]
        hyper = fit_hyperparameters(first.features, units.owners, first.scores)
        samples = [replace(first, log_noise=hyper.log_noise), *samples[1:]]
        samples = [*told_earlier(units, earlier), *samples]
        chain = chain_of(samples, hyper.log_lengths, units.owners)
        believed = chain.mean(samples[-1].pending)
        return cls(
            units=units,
            chain=chain,
            feasibility=feasibility_of(
                first.features, evidence.features(evidence.failed), units.owners
            ),
            target=float(min(samples[-1].scores.min(), *believed, math.inf)),
            ahead=ahead,
            best=evidence.best,
            belief=_BELIEF / len(evidence.history),
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
        order = np.argsort(-merits, kind="stable")
        space = self.units.space
        if not space.constraints:
            return np.asarray(points[order[0]])
        allowed = (k for k in order if space.allows(self.units.decode(points[k])))
        return np.asarray(points[next(allowed, order[0])])

    def merit(self, points: FloatArray) -> FloatArray:
        """Return the logarithm of the expected improvement that will not fail."""
        features = self.units.features(points)
        mean, deviation = self.chain.predict(features)
        merit = log_expected_improvement(mean, deviation, self.target - self.ahead)
        merit = merit + self.belief * self.units.log_prior(points)
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
