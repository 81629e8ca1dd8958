"""One call of `fit`, from the checks to the result."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Callback, Trainer

from sitenet_core.config import TrialConfig
from sitenet_core.families import get_family
from sitenet_core.families.protocol import MicroBatch, ModelFamily, ModelMeta
from sitenet_core.training.checkpoints import Identity, TrainingState, load_state
from sitenet_core.training.checks import (
    check_compiled,
    check_data,
    check_precision,
    check_resumed,
    last_epoch,
)
from sitenet_core.training.epochs import EpochEnd, TrainingFiles, set_random_state
from sitenet_core.training.guards import Deadline, FiniteLoss
from sitenet_core.training.loader import CrystalSet, Loading, TrainingBatches
from sitenet_core.training.machine import (
    choose_device,
    interruptible,
    own_random_state,
    quiet_lightning,
    torch_threads,
)
from sitenet_core.training.memory import memory_errors
from sitenet_core.training.module import TrainingModule
from sitenet_core.training.options import FitOptions, FitResult, OnEpoch, TrainingData
from sitenet_core.training.progress import ProgressBar
from sitenet_core.training.residence import crystal_source, group_size
from sitenet_core.training.splitting import is_smallest, split_in_use
from sitenet_core.training.workers import GroupWorkers, group_workers

_LIGHTNING_PRECISION: dict[str, Literal["32-true", "16-mixed", "bf16-mixed"]] = {
    "32": "32-true",
    "16-mixed": "16-mixed",
    "bf16-mixed": "bf16-mixed",
    # Lightning's "64-true" rewrites the fields of every batch, which a frozen batch
    # refuses; a double network computes in double by itself.
    "64": "32-true",
}


@dataclass(frozen=True)
class Session:
    """What one call of `fit` was asked for, checked."""

    family: ModelFamily
    config: TrialConfig
    data: TrainingData
    options: FitOptions
    until: int
    """Last epoch of this call."""
    device: Literal["cpu", "gpu"]
    threads: int
    micro: MicroBatch
    started: float
    """Reading of the monotonic clock at the start of the call."""

    @property
    def groups_at_once(self) -> int:
        """Groups of a batch that are worked on at the same time."""
        training = self.config.training
        # Autocast and compiled code are of the thread that starts them.
        plain = training.precision in {"32", "64"} and not training.compile
        if self.device == "cpu" and plain and self.micro.splits and not self._least:
            return self.threads
        return 1

    @property
    def _least(self) -> bool:
        """Whether memory is so short that crystals go one by one."""
        rows = self.data.store.index_of(self.data.training_ids)
        weights = np.asarray(self.data.store.column(self.micro.unit)).ravel()[rows]
        return is_smallest(self.micro, weights)

    @property
    def identity(self) -> Identity:
        """What the checkpoints of this training belong to."""
        return Identity.of(self.config, self.data)


def run_session(
    config: TrialConfig,
    data: TrainingData,
    options: FitOptions,
    on_epoch: OnEpoch | None,
) -> FitResult:
    """Do what `sitenet_core.training.fit` says."""
    started = time.monotonic()
    family = get_family(config.family)
    until = last_epoch(config, options)
    device = choose_device(options.device)
    check_precision(config, device)
    micro = group_size(family, config, device, options.micro_batch)
    check_data(family, config, data)
    at_once = 1
    with (
        torch_threads(options.threads) as threads,
        own_random_state(device, config.training.seed),
        memory_errors(
            f"{config.family} on {device}, {len(data.training_ids)} crystals",
            lambda: split_in_use(family, config, data, micro, at_once),
        ),
    ):
        session = Session(
            family, config, data, options, until, device, threads, micro, started
        )
        at_once = session.groups_at_once
        own = 1 if at_once > 1 else threads
        with torch_threads(own), group_workers(at_once) as workers:
            return _run(session, workers, on_epoch)


def _run(
    session: Session, workers: GroupWorkers | None, on_epoch: OnEpoch | None
) -> FitResult:
    state = _resumed(session)
    done = 0 if state is None else state.epoch
    module = _module(session, state, workers)
    files = TrainingFiles(session.options.folder)
    finite = FiniteLoss(done, session.config.optimizer.learning_rate)
    machine = {
        "device": session.device,
        "threads": session.threads,
        "micro_batch": session.micro.budget,
    }
    epochs = EpochEnd(session.identity, files, finite, machine, on_epoch)
    if state is not None:
        epochs.resume(state)
    if done < session.until:
        batches = _batches(session, done)
        with quiet_lightning(), interruptible():
            trainer = _trainer(
                session, done, [finite, epochs, *_extras(session, epochs)]
            )
            if state is not None:
                trainer.precision_plugin.load_state_dict(state.precision)
                set_random_state(state.random)
            trainer.fit(module, datamodule=batches)
    return _result(session, epochs, module, files)


def _resumed(session: Session) -> TrainingState | None:
    path = session.options.resume_from
    if path is None:
        return None
    state = load_state(path)
    check_resumed(state, session.identity, session.until)
    return state


def _module(
    session: Session, state: TrainingState | None, workers: GroupWorkers | None
) -> TrainingModule:
    """Return the network with its first or its resumed weights and optimiser."""
    config = session.config
    meta = ModelMeta(session.data.target, pair_budget=session.micro.budget)
    network = session.family.build(config, meta)
    if config.training.precision == "64":
        network.double()
    if config.training.compile:
        check_compiled(config, network).compile_pairs()
    restore = None
    if state is not None:
        network.load_state_dict(state.weights)
        restore = partial(_load_optimizer, state.optimizer)
    return TrainingModule(
        network,
        config.optimizer,
        restore,
        fused=config.training.precision != "16-mixed",
        workers=workers,
    )


def _load_optimizer(saved: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    optimizer.load_state_dict(saved)


def _batches(session: Session, done: int) -> TrainingBatches:
    data, config, micro = session.data, session.config, session.micro
    source = crystal_source(session.family, data.store, session.device)
    budget = micro.budget if micro.splits else None
    at_once = session.groups_at_once
    loading = Loading(session.family, source, micro.unit, budget, at_once)
    training, validation = (
        CrystalSet.of(loading, config, data, ids)
        for ids in (data.training_ids, data.validation_ids)
    )
    return TrainingBatches(training, validation, config.training.seed, done)


def _extras(session: Session, epochs: EpochEnd) -> list[Callback]:
    extras: list[Callback] = []
    seconds = session.options.deadline_seconds
    if seconds is not None:
        extras.append(Deadline(seconds, session.started))
    if session.options.progress:
        extras.append(ProgressBar(epochs, session.until, session.data.target.unit))
    return extras


def _trainer(session: Session, done: int, callbacks: Sequence[Callback]) -> Trainer:
    trainer = Trainer(
        accelerator=session.device,
        devices=1,
        # Inside a SLURM job Lightning would take over its signals and its task count.
        plugins=[LightningEnvironment()],
        precision=_LIGHTNING_PRECISION[session.config.training.precision],
        max_epochs=session.until - done,
        callbacks=list(callbacks),
        limit_val_batches=1.0 if session.data.validation_ids else 0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        default_root_dir=session.options.folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    # Lightning's SIGTERM handler only takes a note until the epoch ends. Whoever calls
    # `fit` decides what signals do; there is no public switch (Lightning 2.6).
    connector = trainer._signal_connector  # noqa: SLF001
    setattr(connector, "register_signal_handlers", lambda: None)  # noqa: B010
    return trainer


def _result(
    session: Session, epochs: EpochEnd, module: TrainingModule, files: TrainingFiles
) -> FitResult:
    last, best = epochs.curve[-1], epochs.best
    if best is None:
        raise RuntimeError("a training ended without an epoch")
    data = session.data
    return FitResult(
        epochs=last.epoch,
        val_mae=last.val_mae,
        best_val_mae=best.val_mae,
        best_epoch=best.epoch,
        last_checkpoint=Path(files.last),
        best_checkpoint=Path(files.best),
        n_parameters=sum(p.numel() for p in module.network.parameters()),
        wall_seconds=time.monotonic() - session.started,
        threads=session.threads,
        device=session.device,
        n_train=len(data.training_ids),
        n_validation=len(data.validation_ids),
        micro_batch=session.micro.budget,
    )
