"""Which trial is promoted, and why: a pure function of the journal."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from search.journal import (
    OBJECTIVE,
    PromotionRerun,
    PromotionReruns,
    StudyState,
    objective_at,
)
from search.journal.events import (
    PromotionCandidate,
    PromotionEpoch,
    rerun_model,
)
from search.promotion.comparison import Comparison, compare
from search.promotion.contenders import Choice, Contender, Optimism, cheapest
from search.promotion.optimism import expected_optimism
from search.promotion.ranking import ranked, values_at
from search.trial.outcome import Outcome


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
            trial=best.trial, search_value=best.value, verdict="not rerun"
        )
        return Choice(
            trial=best.trial,
            epoch=best.epoch,
            value=best.value,
            decided_by="search value",
            contenders=(contender,),
            without=plan.without if plan is not None else "none were planned",
        )
    return _chosen(plan, [_Results.of(state, plan, c) for c in candidates], state)


@dataclass(frozen=True)
class _Results:
    """A candidate with its reruns, in the order of seeds and folds."""

    candidate: PromotionCandidate
    reruns: tuple[PromotionRerun, ...]
    at_rung: tuple[float | None, ...]
    """Objective of each rerun at the epoch of the candidate's search value."""

    @classmethod
    def of(
        cls, state: StudyState, plan: PromotionReruns, candidate: PromotionCandidate
    ) -> "_Results":
        done = {
            (e.trial, e.seed, e.fold): e
            for e in state.promotion
            if isinstance(e, PromotionRerun)
        }
        keys = [
            (candidate.trial, seed, fold)
            for seed in plan.seeds
            for fold in plan.folds or (None,)
        ]
        missing = [rerun_model(*key) for key in keys if key not in done]
        if missing:
            raise ValueError(f"not yet trained again: {', '.join(missing)}")
        reruns = tuple(done[key] for key in keys)
        at_rung = tuple(_value_at(state, r, candidate.epoch) for r in reruns)
        return cls(candidate, reruns, at_rung)

    @property
    def failed(self) -> bool:
        return any(r.value is None for r in self.reruns)

    @property
    def values(self) -> list[float]:
        return [r.value for r in self.reruns if r.value is not None]

    def contender(self, verdict: Literal["failed", "tie"]) -> Contender:
        epochs = sum(r.epochs for r in self.reruns)
        seconds = sum(r.seconds for r in self.reruns)
        return Contender(
            trial=self.candidate.trial,
            search_value=self.candidate.value,
            values=tuple(r.value for r in self.reruns),
            verdict=verdict,
            seconds_per_epoch=seconds / epochs if epochs else None,
            parameters=max(
                (r.parameters for r in self.reruns if r.parameters is not None),
                default=None,
            ),
        )


def _value_at(state: StudyState, rerun: PromotionRerun, epoch: int) -> float | None:
    """Return the objective of a rerun at an epoch that may lie before its last."""
    if epoch >= rerun.epochs or rerun.value is None:
        return rerun.value
    model = rerun_model(rerun.trial, rerun.seed, rerun.fold)
    curve = {
        e.epoch: float(value)
        for e in state.promotion
        if isinstance(e, PromotionEpoch)
        and e.model == model
        and (value := e.metrics.get(OBJECTIVE)) is not None
    }
    return objective_at(curve, epoch)


def _chosen(
    plan: PromotionReruns, results: list[_Results], state: StudyState
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
        optimism=_optimism(result, comparison, state),
    )


def _judged(sound: list[_Results], comparison: Comparison) -> list[Contender]:
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


def _optimism(
    result: _Results, comparison: Comparison, state: StudyState
) -> Optimism | None:
    values = [v for v in result.at_rung if v is not None]
    if len(values) < len(result.at_rung) or _at_lower_level(result, state):
        return None
    mean = sum(values) / len(values)
    epoch = result.candidate.epoch
    compared = values_at(state.trials, epoch)
    noise = comparison.noise
    return Optimism(
        search_value=result.candidate.value,
        rerun_mean=mean,
        measured=mean - result.candidate.value,
        expected=None if noise is None else expected_optimism(compared, noise),
        compared=len(compared),
        noise=noise,
    )


def _at_lower_level(result: _Results, state: StudyState) -> bool:
    """Return whether the search compared a trial on less than the reruns had.

    An incomplete trial with all epochs of a rerun had them at a lower level of the
    study's fidelity: on part of the structures, or with smaller supercells.
    """
    complete = state.trials[result.candidate.trial].outcome is Outcome.COMPLETED
    return not complete and result.candidate.epoch >= result.reruns[0].epochs


def _among_failed(plan: PromotionReruns, failed: list[_Results]) -> Choice:
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
