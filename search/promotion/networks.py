"""The long trainings: the winner and the preset references, one after the other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from search.journal.events import PromotionEpoch, PromotionFailed, PromotionTrained
from search.promotion.ledger import Ledger
from search.promotion.memory import Training, fit_divided, settle_division
from search.promotion.plan import PromotionPlan
from search.study.folder import StudyFolder
from search.study.load import Study
from search.study.prepare import StudyData
from search.tracking import WINNER
from search.trial.memory import room_here
from sitenet_core.bundle import bundle_from_checkpoint
from sitenet_core.config import TrialConfig
from sitenet_core.data import open_verified
from sitenet_core.errors import InfrastructureError, SiteNetError
from sitenet_core.training import (
    EpochRecord,
    FitOptions,
    FitResult,
    TrainingData,
    fit,
)
from sitenet_core.training.curve import read_curve

LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
CURVE = "curve.csv"
BUNDLE = "bundle"


@dataclass(frozen=True)
class Running:
    """How a promotion runs; nothing here decides what is computed, but for rounding."""

    progress: bool
    """Show progress bars on standard error."""
    threads: int
    """CPU threads of torch; recorded with each training."""
    device: Literal["cpu", "gpu"] = "cpu"
    """As for the trials: the GPU if the study's `resources` ask for one."""


@dataclass(frozen=True)
class Promotion:
    """What every step of a promotion needs."""

    folder: StudyFolder
    study: Study
    data: StudyData
    plan: PromotionPlan
    ledger: Ledger
    running: Running

    def place(self, model: str) -> Path:
        """Return the folder of a model; the winner's is the promotion's own."""
        if model == WINNER:
            return self.folder.promotion
        return self.folder.promotion / "references" / model.replace(":", "-")

    def bundle(self, model: str) -> Path:
        """Return where the bundle of a network goes."""
        return self.place(model) / BUNDLE

    def training_data(self, config: TrialConfig) -> TrainingData:
        """Return the study's crystals with the cells that `config` asks for."""
        return TrainingData(
            store=open_verified(self.data.store_of(config)),
            split=self.data.split,
            target=self.study.config.data.target,
            train_on=self.plan.train_on,
        )


def train_networks(promotion: Promotion) -> None:
    """Train every network of the plan that is not trained yet, and bundle it.

    A training that was interrupted goes on from its last checkpoint. A reference that
    fails is journalled as failed; the winner's failure ends the promotion.

    Raises:
        SiteNetError: if the winner's training failed, or the disk.
    """
    ledger = promotion.ledger
    for model in promotion.plan.networks:
        if model in ledger.trained or model in ledger.failed:
            continue
        try:
            _train(promotion, model)
        except SiteNetError as error:
            if not concerns_reference(model, error):
                raise
            ledger.append(PromotionFailed(model=model, message=str(error)))


def concerns_reference(model: str, error: SiteNetError) -> bool:
    """Return whether `error` costs a row of the result and not the promotion.

    A full disk or a lost server is no property of a reference: it is tried again.
    """
    return model != WINNER and not isinstance(error, InfrastructureError)


def run_training(training: Training, ledger: Ledger, running: Running) -> FitResult:
    """Train to the end, from the last checkpoint if there is one; journal each epoch.

    Raises:
        SiteNetError: as `sitenet_core.training.fit`.
    """
    training.folder.mkdir(parents=True, exist_ok=True)
    last = training.folder / LAST_CHECKPOINT
    if running.progress:
        Console(stderr=True).print(f"Training {training.model}", highlight=False)

    def on_epoch(record: EpochRecord) -> None:
        metrics = {k: v for k, v in vars(record).items() if k != "epoch"}
        ledger.append(
            PromotionEpoch(model=training.model, epoch=record.epoch, metrics=metrics)
        )

    def attempt(micro_batch: int | None) -> FitResult:
        options = FitOptions(
            folder=training.folder,
            resume_from=last if last.is_file() else None,
            threads=running.threads,
            device=running.device,
            micro_batch=micro_batch,
            progress=running.progress,
        )
        return fit(training.config, training.data, options, on_epoch)

    settle_division(training, ledger, room_here(running.device, running.threads, 1.0))
    result = fit_divided(training.model, ledger, attempt)
    # A kill between checkpoint and journal leaves an epoch that is on disk only.
    known = ledger.curve(training.model)
    for record in read_curve(training.folder / CURVE):
        if record.epoch not in known:
            on_epoch(record)
    return result


def _train(promotion: Promotion, model: str) -> None:
    config = promotion.plan.configuration(model)
    data = promotion.training_data(config)
    trials, trial = promotion.ledger.state.trials, promotion.plan.trial
    fits = trials[trial].micro_batch if model == WINNER else None
    training = Training(model, config, data, promotion.place(model), fits)
    result = run_training(training, promotion.ledger, promotion.running)
    bundle = bundle_from_checkpoint(
        promotion.bundle(model),
        result.best_checkpoint,
        config,
        data,
        {"val_mae": result.best_val_mae},
    )
    promotion.ledger.append(
        PromotionTrained(
            model=model,
            bundle=str(bundle.relative_to(promotion.folder.path)),
            metrics=_metrics(result),
        )
    )


def _metrics(result: FitResult) -> dict[str, float | int | None]:
    return {
        "val_mae": result.best_val_mae,
        "epoch": result.best_epoch,
        "epochs": result.epochs,
        "n_parameters": result.n_parameters,
        "n_train": result.n_train,
        "n_validation": result.n_validation,
        "threads": result.threads,
        "wall_seconds": result.wall_seconds,
    }
