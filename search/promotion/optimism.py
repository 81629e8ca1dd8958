"""How much too good the best value of a search is, because it is the best.

The smallest of many noisy values is smaller than what it stands for: J. Smith and R.
Winkler, *The Optimizer's Curse*, Management Science 52 (2006) 311; for model selection,
G. Cawley and N. Talbot, JMLR 11 (2010) 2079. That is why the value by which a trial
was selected does not count in the mean of its reruns: it is not an unbiased draw any
more. (An unbiased combination exists under normal noise, A. Cohen and H. Sackrowitz,
Statistics & Probability Letters 8 (1989) 273, but needs a known variance; here it is
estimated from a handful of reruns.)
"""

from collections.abc import Sequence

import numpy as np

from search.journal import StudyState
from search.journal.events import PromotionCandidate
from search.promotion.candidate_reruns import CandidateReruns, objective_of
from search.promotion.comparison import compare
from search.promotion.contenders import Optimism
from search.promotion.ranking import values_at
from search.trial.outcome import Outcome

_DRAWS = 4000
_FAR = 8.0
"""Standard deviations of noise beyond which a value can never become the smallest."""


def optimism_of(
    winner: CandidateReruns,
    sound: list[CandidateReruns],
    best: PromotionCandidate,
    state: StudyState,
) -> Optimism | None:
    """Return how much too good the search's values were; None if nothing is known.

    What was measured is of the promoted trial. What is expected is of the search's own
    best, since only the smallest of the values compared is too good for being it.
    """
    full = winner.reruns[0].epochs
    mean = expected = noise = None
    if not _is_at_lower_level(winner.candidate, full, state):
        mean = _mean(winner.at_rung)
    # A trial that was searched since the reruns were planned is not what was chosen.
    compared = [v for v in values_at(state.trials, best.epoch) if v >= best.value]
    if not _is_at_lower_level(best, full, state):
        noise = _noise_at(best.epoch, sound, state)
        expected = None if noise is None else expected_optimism(compared, noise)
    if mean is None and expected is None:
        return None
    return Optimism(
        search_value=winner.candidate.value,
        rerun_mean=mean,
        measured=None if mean is None else mean - winner.candidate.value,
        best=best,
        expected=expected,
        compared=len(compared),
        noise=noise,
    )


def expected_optimism(values: Sequence[float], noise: float) -> float:
    """Return by how much the smallest of `values` is expected to be too small.

    It is E[−ε of the argmin of (values + ε)] for independent normal ε: what noise of
    this size would do to trials that truly differed as the observed ones do. They
    differ less, since noise has spread them already, so this is an estimate and, where
    noise dominates, a low one. The draws have a fixed seed: a pure function.

    Args:
        values: of all trials that were compared; errors, so less is better.
        noise: standard deviation of the noise of one value, at least 0.
    """
    if noise <= 0:
        return 0.0
    found = np.sort(np.asarray(values, dtype=np.float64))
    near = found[found <= found[0] + _FAR * noise]
    draws = np.random.default_rng(0).normal(0.0, noise, (_DRAWS, len(near)))
    chosen = (near + draws).argmin(axis=1)
    return float(-draws[np.arange(_DRAWS), chosen].mean())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _noise_at(
    epoch: int, sound: list[CandidateReruns], state: StudyState
) -> float | None:
    """Return the noise of one training at an epoch; None if it is not known."""
    values = [[objective_of(state, r, epoch) for r in s.reruns] for s in sound]
    if any(v is None for row in values for v in row):
        return None
    return compare(np.array(values, dtype=np.float64)).noise


def _is_at_lower_level(
    candidate: PromotionCandidate, full: int, state: StudyState
) -> bool:
    """Return whether the search compared a trial on less than the reruns had.

    An incomplete trial with all epochs of a rerun had them at a lower level of the
    study's fidelity: on part of the structures, or with smaller supercells.
    """
    complete = state.trials[candidate.trial].outcome is Outcome.COMPLETED
    return not complete and candidate.epoch >= full
