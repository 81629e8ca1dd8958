"""The best trials once more, from scratch, with further seeds and over the folds.

They run in the promotion's own process, one after the other, as the long trainings do:
`fit` keeps all processors of the machine busy with the groups of a batch, and a rerun
that a kill interrupts can have no orphan that writes on in its folder.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from search.journal import (
    OBJECTIVE,
    PromotionRerun,
    PromotionReruns,
    StudyState,
    objective_at,
)
from search.journal.events import rerun_model
from search.promotion.folds import fold_split, inner_folds, overlap
from search.promotion.ledger import Ledger
from search.promotion.memory import Training
from search.promotion.networks import (
    LAST_CHECKPOINT,
    Running,
    run_training,
)
from search.promotion.plan import configuration
from search.promotion.ranking import ranked
from search.study.folder import StudyFolder
from search.study.load import Study
from search.study.prepare import StudyData
from search.study.resolve import promotion_digest
from sitenet_core.config import TrialConfig
from sitenet_core.data import open_verified
from sitenet_core.errors import TrialError
from sitenet_core.training import TrainingData


@dataclass(frozen=True)
class Reruns:
    """What every rerun needs."""

    folder: StudyFolder
    study: Study
    data: StudyData
    ledger: Ledger
    running: Running
    plan: PromotionReruns

    def configuration(self, trial: int, seed: int | None = None) -> TrialConfig:
        """Return what a trial was trained with, with another seed if one is given."""
        return configuration(self.study, self.ledger.state, trial, seed)

    def training_data(self, config: TrialConfig, fold: int | None) -> TrainingData:
        """Return the study's crystals, or the same with `fold` for validation."""
        store = open_verified(self.data.store_of(config))
        split = self.data.split
        if fold is not None:
            split = fold_split(split, store, fold)
        return TrainingData(store, split, self.study.config.data.target)

    def waiting(self) -> Iterator[tuple[int, int, int | None]]:
        """Yield trial, seed and fold of each rerun that the journal does not hold.

        All candidates meet a seed before the next seed begins.
        """
        done = {
            (e.trial, e.seed, e.fold)
            for e in self.ledger.state.promotion
            if isinstance(e, PromotionRerun)
        }
        for seed in self.plan.seeds:
            for fold in self.plan.folds or (None,):
                for candidate in self.plan.candidates:
                    key = candidate.trial, seed, fold
                    if key not in done:
                        yield key


def plan_reruns(state: StudyState, study: Study, data: StudyData) -> PromotionReruns:
    """Return which trials are trained again; none where the study says so.

    The seeds are the smallest that no candidate was searched with.

    Raises:
        NoTrialSucceededError: if there is no trial to promote.
        DataError: if folds are asked for and there are none to validate with.
    """
    promotion = study.config.promotion
    candidates = ranked(state.trials)[: promotion.top_k]
    without = _without(promotion.top_k, promotion.seeds, len(candidates))
    seeds: list[int] = []
    folds: tuple[int, ...] = ()
    if not without:
        seeds = _further_seeds(state, study, [c.trial for c in candidates])
        if promotion.folds:
            store = open_verified(data.store_of(study.base))
            folds = inner_folds(data.split, store)
    return PromotionReruns(
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        candidates=candidates,
        seeds=seeds,
        folds=list(folds),
        tie_within=promotion.tie_within,
        overlap=overlap(data.split, len(folds)) if folds else 0.0,
        without=without,
        promotion_digest=promotion_digest(study.config),
    )


def train_again(reruns: Reruns) -> None:
    """Train every rerun of the plan that is not in the journal, and journal it.

    One that was interrupted goes on from its last checkpoint. One that fails is
    journalled as failed, which tells something of its trial.

    Raises:
        SiteNetError: if data, disk or machine failed, as opposed to a training.
    """
    waiting = list(reruns.waiting())
    if waiting and reruns.running.progress:
        Console(stderr=True).print(_announcement(reruns, len(waiting)), highlight=False)
    for trial, seed, fold in waiting:
        _train(reruns, trial, seed, fold)


def _train(reruns: Reruns, trial: int, seed: int, fold: int | None) -> None:
    model = rerun_model(trial, seed, fold)
    config = reruns.configuration(trial, seed)
    folder = reruns.folder.promotion / "reruns" / model
    fits = reruns.ledger.state.trials[trial].micro_batch
    data = reruns.training_data(config, fold)
    training = Training(model, config, data, folder, fits)
    parameters, message = None, ""
    try:
        result = run_training(training, reruns.ledger, reruns.running)
        parameters = result.n_parameters
    except TrialError as error:
        message = str(error)
    curve = reruns.ledger.curve(model)
    values = {
        e: float(v) for e, m in curve.items() if (v := m.get(OBJECTIVE)) is not None
    }
    value = None if message else objective_at(values, config.training.epochs)
    reruns.ledger.append(
        PromotionRerun(
            trial=trial,
            seed=seed,
            fold=fold,
            value=value,
            seconds=reruns.ledger.seconds(model) or 0.0,
            epochs=len(curve),
            parameters=parameters,
            message=message,
        )
    )
    _remove_checkpoints(folder)


def _remove_checkpoints(folder: Path) -> None:
    """Bound the disk: a rerun is a number, and its curve is in the journal."""
    shutil.rmtree((folder / LAST_CHECKPOINT).parent, ignore_errors=True)


def _without(top_k: int, seeds: int, n_candidates: int) -> str:
    if top_k == 1:
        return "promotion.top_k is 1"
    if seeds == 0:
        return "promotion.seeds is 0"
    return "there is only one trial to choose from" if n_candidates == 1 else ""


def _further_seeds(state: StudyState, study: Study, trials: list[int]) -> list[int]:
    used = {configuration(study, state, trial).training.seed for trial in trials}
    wanted = study.config.promotion.seeds
    return [s for s in range(wanted + len(used)) if s not in used][:wanted]


def _announcement(reruns: Reruns, n_waiting: int) -> str:
    plan = reruns.plan
    trials = ", ".join(str(c.trial) for c in plan.candidates)
    folds = f" over folds {', '.join(map(str, plan.folds))}" if plan.folds else ""
    paces = {c.trial: _pace(reruns, c.trial) for c in plan.candidates}
    waiting = [trial for trial, _, _ in reruns.waiting()]
    seconds = sum(
        paces[trial][0] * reruns.configuration(trial).training.epochs
        for trial in waiting
    )
    text = (
        f"Training the best trials again ({trials}) with seeds "
        f"{', '.join(map(str, plan.seeds))}{folds}: {n_waiting} trainings, "
    )
    if all(paces[trial][1] for trial in waiting):
        return f"{text}about {seconds / 60:.1f} minutes at the trials' pace"
    return (
        f"{text}more than {seconds / 60:.1f} minutes: that is the pace of trials that "
        "were searched at a lower fidelity, and are now trained at the full one"
    )


def _pace(reruns: Reruns, trial: int) -> tuple[float, bool]:
    """Return seconds per epoch at the trial's deepest level, and if that is the full.

    Along epochs there is one level. Others train on less below, and are faster there.
    """
    curve = reruns.ledger.state.details[trial].curve
    fidelity = reruns.study.fidelity
    level = fidelity.level_of(max(curve, default=1))
    seconds = [
        metrics.get("seconds") or 0.0
        for epoch, metrics in curve.items()
        if epoch > level.begins_after
    ]
    mean = sum(seconds) / len(seconds) if seconds else 0.0
    return mean, level == fidelity.levels[-1]
