"""A candidate of a promotion with its reruns, as the journal has them."""

from dataclasses import dataclass
from typing import Literal

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
from search.promotion.contenders import Contender


@dataclass(frozen=True)
class CandidateReruns:
    """A candidate with its reruns, in the order of seeds and folds."""

    candidate: PromotionCandidate
    reruns: tuple[PromotionRerun, ...]
    at_rung: tuple[float | None, ...]
    """Objective of each rerun at the epoch of the candidate's search value."""

    @classmethod
    def of(
        cls, state: StudyState, plan: PromotionReruns, candidate: PromotionCandidate
    ) -> "CandidateReruns":
        """Return a candidate's reruns.

        Raises:
            ValueError: if the journal does not hold them all.
        """
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
        at_rung = tuple(objective_of(state, r, candidate.epoch) for r in reruns)
        return cls(candidate, reruns, at_rung)

    @property
    def failed(self) -> bool:
        """Whether any of them failed."""
        return any(r.value is None for r in self.reruns)

    @property
    def values(self) -> list[float]:
        """Objective of each that did not fail."""
        return [r.value for r in self.reruns if r.value is not None]

    def contender(self, verdict: Literal["failed", "tie"]) -> Contender:
        """Return what the journal keeps of it, without what comparing adds."""
        epochs = sum(r.epochs for r in self.reruns)
        seconds = sum(r.seconds for r in self.reruns)
        return Contender(
            trial=self.candidate.trial,
            search_value=self.candidate.value,
            epoch=self.candidate.epoch,
            values=tuple(r.value for r in self.reruns),
            verdict=verdict,
            seconds_per_epoch=seconds / epochs if epochs else None,
            parameters=max(
                (r.parameters for r in self.reruns if r.parameters is not None),
                default=None,
            ),
        )


def objective_of(state: StudyState, rerun: PromotionRerun, epoch: int) -> float | None:
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
