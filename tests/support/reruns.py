"""States of studies whose best trials were trained again, without any training."""

from collections.abc import Mapping, Sequence

from search.journal import PromotionRerun, PromotionReruns, StudyState, TrialRecord
from search.journal.events import PromotionCandidate, PromotionEpoch, rerun_model
from search.trial.outcome import Outcome


def trial(
    number: int, rungs: dict[int, float], outcome: Outcome | None = Outcome.COMPLETED
) -> TrialRecord:
    flat = {"x": number}
    return TrialRecord(number, flat, outcome=outcome, rung_values=rungs)


def rerun_state(
    search: Sequence[float],
    reruns: Mapping[int, Sequence[float | None]],
    *,
    cost: Mapping[int, tuple[float, int]] | None = None,
    tie_within: float = 0.0,
) -> StudyState:
    """Return completed trials of nine epochs, some of them trained again.

    Args:
        search: value of each trial.
        reruns: trial → value for seeds 1, 2, …; None is a failure.
        cost: trial → seconds per epoch and parameters; 1 s and 100 if it has none.
        tie_within: as in a study file.
    """
    n_seeds = len(next(iter(reruns.values())))
    plan = PromotionReruns(
        started="2026-11-01T12:00:00+00:00",
        candidates=[
            PromotionCandidate(trial=n, epoch=9, value=search[n]) for n in reruns
        ],
        seeds=list(range(1, n_seeds + 1)),
        folds=[],
        tie_within=tie_within,
    )
    events: list[PromotionReruns | PromotionRerun | PromotionEpoch] = [plan]
    for number, values in reruns.items():
        seconds, parameters = (cost or {}).get(number, (1.0, 100))
        for seed, value in enumerate(values, start=1):
            events.append(
                PromotionRerun(
                    trial=number,
                    seed=seed,
                    value=value,
                    seconds=9 * seconds,
                    epochs=9,
                    parameters=parameters,
                    message="" if value is not None else "the loss is nan",
                )
            )
    trials = tuple(trial(n, {9: value}) for n, value in enumerate(search))
    return StudyState(trials=trials, promotion=tuple(events))


def epoch_of(number: int, seed: int, epoch: int, value: float) -> PromotionEpoch:
    """Return an epoch of a rerun."""
    return PromotionEpoch(
        model=rerun_model(number, seed), epoch=epoch, metrics={"val_mae": value}
    )
