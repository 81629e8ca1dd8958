"""A segment of a real trial: the same `fit` as the final long training."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from search.trial.messages import EpochMessage
from search.trial.payload import SegmentPayload
from search.trial.work import OnEpochDone, WorkResult
from sitenet_core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InfrastructureError,
)
from sitenet_core.families import get_family

if TYPE_CHECKING:
    from sitenet_core.config import TrialConfig
    from sitenet_core.training import EpochRecord, FitResult, TrainingData

_log = logging.getLogger(__name__)


def train(payload: SegmentPayload, on_epoch: OnEpochDone) -> WorkResult:
    """Train from the payload's checkpoint to its target epoch.

    Raises:
        ConfigError: the configuration does not fit its family or the machine.
        DataError: the crystals cannot be trained on.
        CheckpointError: the checkpoint is gone or damaged.
        InfrastructureError: store or split cannot be read, or there is no GPU any more.
        TrialError: as `sitenet_core.training.fit`.
    """
    from sitenet_core.training import FitOptions, fit

    config = get_family(payload.configuration["family"]).Config.model_validate(
        payload.configuration
    )
    data = _open_data(payload)
    _require_device(payload)
    report = _Reporter(payload, on_epoch)
    options = FitOptions(
        folder=Path(payload.folder),
        until_epoch=payload.until_epoch - payload.begins_after,
        resume_from=_checkpoint(payload),
        threads=payload.threads,
        deadline_seconds=payload.seconds_left,
        device=payload.device,
        micro_batch=payload.micro_batch,
    )
    result = fit(config, data, options, report)
    _log.info("trained with at most %d at once", result.micro_batch)
    report.catch_up(result.epochs)
    bundle = _save_bundle(payload, config, data, result) if payload.is_last else None
    return WorkResult(str(result.last_checkpoint), bundle)


class _Reporter:
    """Passes epochs on, none missing, counted over all levels of the fidelity.

    A driver that was killed may not have seen the last epoch of the checkpoint that the
    segment starts from. The training does not repeat it; its row is in the curve.
    """

    def __init__(self, payload: SegmentPayload, on_epoch: OnEpochDone) -> None:
        self._folder = Path(payload.folder)
        self._before = payload.begins_after
        self._reported = payload.from_epoch - self._before
        self._on_epoch = on_epoch

    def __call__(self, record: "EpochRecord") -> None:
        self.catch_up(record.epoch - 1)
        self._report(record)

    def catch_up(self, epoch: int) -> None:
        """Report what has not been reported, up to and including `epoch`."""
        if self._reported >= epoch:
            return
        from sitenet_core.training.curve import read_curve

        for record in read_curve(self._folder / "curve.csv"):
            if self._reported < record.epoch <= epoch:
                self._report(record)

    def _report(self, record: "EpochRecord") -> None:
        metrics = asdict(record)
        epoch = metrics.pop("epoch")
        checkpoint = str(self._folder / "checkpoints" / "last.ckpt")
        self._on_epoch(
            EpochMessage(
                epoch=self._before + epoch, metrics=metrics, checkpoint=checkpoint
            )
        )
        self._reported = epoch


def _checkpoint(payload: SegmentPayload) -> Path | None:
    """Return the checkpoint to go on from.

    To `fit` one that is missing is its caller's mistake. Here the journal named it.
    """
    if payload.checkpoint is None:
        return None
    path = Path(payload.checkpoint)
    try:
        path.stat()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file any more") from error
    return path


def _require_device(payload: SegmentPayload) -> None:
    from sitenet_core.training.machine import choose_device

    try:
        choose_device(payload.device)
    except ConfigError as error:
        # The study began with one: its driver failed, or this machine has none.
        raise InfrastructureError(f"could not use its GPU: {error}") from error


def _open_data(payload: SegmentPayload) -> "TrainingData":
    from sitenet_core.data import load_split, open_verified, training_share
    from sitenet_core.training import TrainingData

    if payload.data is None:
        raise ConfigError("a training needs data, but its payload names none")
    try:
        store = open_verified(Path(payload.data.store))
        split = load_split(Path(payload.data.split))
    except (DataError, OSError) as error:
        # The session began with both: they went away, or this machine never had them.
        raise InfrastructureError(f"could not read its data: {error}") from error
    return TrainingData(
        store=store,
        split=training_share(split, payload.data.share, payload.data.share_seed),
        target=payload.data.target,
    )


def _save_bundle(
    payload: SegmentPayload,
    config: "TrialConfig",
    data: "TrainingData",
    result: "FitResult",
) -> str:
    from sitenet_core.bundle import bundle_from_checkpoint

    metrics = {
        "val_mae": result.best_val_mae,
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
    }
    return str(
        bundle_from_checkpoint(
            folder=Path(payload.bundle),
            checkpoint=result.best_checkpoint,
            config=config,
            data=data,
            metrics=metrics,
        )
    )
