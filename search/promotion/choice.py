"""Which trial is promoted, and why: a pure function of the journal."""

from typing import Any

import numpy as np

from search.journal import PromotionReruns, StudyState
from search.promotion.candidate_reruns import CandidateReruns
from search.promotion.comparison import Comparison, compare
from search.promotion.contenders import Choice, Contender, cheapest
from search.promotion.optimism import optimism_of
from search.promotion.ranking import ranked


def choose(state: StudyState) -> Choice:
    """Return the trial to promote, from the search and from the reruns so far planned.

    With reruns the lowest mean wins; the value that the search selected by is left out
    (see `search.promotion.optimism`). A contender is tied with the lowest mean if the
    paired interval of their difference includes 0. A tie whose mean is worse by no
    more than the journalled `tie_within` is decided by cost (see `cheapest`). This
    indifference zone (R. Bechhofer, Annals of Mathematical Statistics 25 (1954) 16) is
    there because few reruns leave wide intervals, and what merely cannot be told from
    the best is often worse (measured: `experiments/benchmarks/winner_noise`). A trial
    whose reruns disagree far more than the others' is not chosen for its cost. A trial
    of which a rerun failed is chosen only if one failed of each. Without reruns the
    search's best value decides.

    Raises:
        NoTrialSucceededError: if no trial has a value to be chosen by.
        ValueError: if the journal plans reruns and does not hold them all.
    """
    plan = next((e for e in state.promotion if isinstance(e, PromotionReruns)), None)
    candidates = plan.candidates if plan is not None else ranked(state.trials)
    if plan is None or not plan.seeds:
        best = candidates[0]
        contender = Contender(
            trial=best.trial,
            search_value=best.value,
            epoch=best.epoch,
            verdict="not rerun",
        )
        return Choice(
            trial=best.trial,
            epoch=best.epoch,
            value=best.value,
            decided_by="search value",
            contenders=(contender,),
            without=plan.without if plan is not None else "none were planned",
        )
    return _chosen(
        plan, [CandidateReruns.of(state, plan, c) for c in candidates], state
    )


def _chosen(
    plan: PromotionReruns, results: list[CandidateReruns], state: StudyState
) -> Choice:
    sound = [r for r in results if not r.failed]
    failed = [r for r in results if r.failed]
    if not sound:
        return _among_failed(plan, failed)
    comparison = compare(np.array([r.values for r in sound]), plan.overlap)
    contenders = _judged(sound, comparison)
    equal = [c for c in contenders if _is_equal(c, contenders[0], plan.tie_within)]
    winner = cheapest(equal)
    result = next(r for r in sound if r.candidate.trial == winner.trial)
    return Choice(
        trial=winner.trial,
        epoch=result.candidate.epoch,
        value=result.candidate.value,
        decided_by="mean" if winner == contenders[0] else "cost",
        seeds=tuple(plan.seeds),
        folds=tuple(plan.folds),
        standard_error=comparison.standard_error,
        contenders=(*contenders, *(r.contender("failed") for r in failed)),
        optimism=optimism_of(result, sound, plan.candidates[0], state),
    )


def _judged(sound: list[CandidateReruns], comparison: Comparison) -> list[Contender]:
    """Return the contenders with their means and intervals, the lowest mean first."""
    worse, half = comparison.worse(), comparison.half_width
    lowest = float(comparison.means[comparison.lowest])
    found: list[Contender] = []
    for index in np.argsort(comparison.means, kind="stable").tolist():
        difference = float(comparison.means[index]) - lowest
        verdict = "worse" if worse[index] else "tie"
        changes: dict[str, Any] = {
            "mean": float(comparison.means[index]),
            "verdict": verdict if found else "lowest",
            "outlying_variance": bool(comparison.outlying[index]),
        }
        if found:
            changes["difference"] = difference
            if half is not None:
                changes["interval"] = (difference - half, difference + half)
        contender = sound[index].contender("tie")
        found.append(contender.model_copy(update=changes))
    return found


def _is_equal(contender: Contender, lowest: Contender, tie_within: float) -> bool:
    """Return whether a contender counts as equally good as the lowest mean."""
    if contender.verdict == "lowest":
        return True
    if contender.verdict != "tie" or contender.difference is None:
        return False
    if contender.outlying_variance:
        return False
    return contender.difference <= tie_within * abs(lowest.mean or 0.0)


def _among_failed(plan: PromotionReruns, failed: list[CandidateReruns]) -> Choice:
    """Return the candidate with the fewest failed reruns; the search decides a draw."""
    best = min(failed, key=lambda r: len(r.reruns) - len(r.values))
    return Choice(
        trial=best.candidate.trial,
        epoch=best.candidate.epoch,
        value=best.candidate.value,
        decided_by="search value",
        seeds=tuple(plan.seeds),
        folds=tuple(plan.folds),
        contenders=tuple(r.contender("failed") for r in failed),
    )
