"""Milliseconds per event of journal, state and scheduler together, on this disk."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna

from experiments.benchmarks.search_overhead.proposals import EPOCHS, loss
from search.engine.conductor import Conductor
from search.engine.rules import Engine, Rules
from search.engine.schedulers import Asha
from search.engine.searchers import make_searcher
from search.engine.segment import Answer
from search.journal import (
    EpochDone,
    Journal,
    SegmentFinished,
    SegmentStarted,
    SessionStarted,
    StudyCreated,
    TrialCreated,
)
from search.space import Space

SEGMENTS = 60


def events(space: Space, n: int, work: Path) -> dict[str, dict[str, float]]:
    """Return the cost of an event after `n` trials, ours and of Optuna's journal."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        return {
            "journal + state + scheduler": _ours(space, n, Path(folder)),
            "optuna journal": _optuna(n, Path(folder)),
            "one bare write + fsync": _bare(Path(folder)),
        }


def _ours(space: Space, n: int, folder: Path) -> dict[str, float]:
    path = folder / "journal.jsonl"
    _prefill(space, n, path)
    journal = Journal.open(path)
    # Random proposals: what a searcher takes is measured by itself.
    scheduler = Asha(epochs=EPOCHS[-1], min_epochs=EPOCHS[0], eta=3)
    engine = Engine(space, make_searcher("random"), scheduler)
    rules = Rules(trials=n + SEGMENTS, epochs=EPOCHS[-1])
    conductor = Conductor(journal, engine, rules)
    conductor.begin("host", 1, {})
    before, began, used = len(journal.entries), time.perf_counter(), time.process_time()
    for _ in range(SEGMENTS):
        segment = conductor.ask()
        if isinstance(segment, Answer):
            raise TypeError(f"the study ended after {len(journal.entries)} events")
        for epoch in range(segment.from_epoch + 1, segment.until_epoch + 1):
            value = loss(space, dict(segment.configuration), epoch)
            metrics: dict[str, float | int | None] = {
                "val_mae": value,
                "train_loss": value,
                "seconds": 1.0,
            }
            conductor.epoch_done(segment, epoch, metrics, "checkpoints/last.ckpt")
        conductor.segment_finished(segment, "checkpoints/last.ckpt", None)
    return _per(len(journal.entries) - before, began, used)


def _prefill(space: Space, n: int, path: Path) -> None:
    """Write a journal of `n` trials that wait at the first rung, without waiting."""
    fsync = os.fsync
    os.fsync = lambda _descriptor: None
    try:
        journal = Journal.open(path)
        journal.append(StudyCreated(name="s", study_digest="s", space_digest="p"))
        journal.append(SessionStarted(session=1, host="host", pid=1))
        for number in range(n):
            _prefill_trial(space, journal, number)
    finally:
        os.fsync = fsync


def _prefill_trial(space: Space, journal: Journal, number: int) -> None:
    import numpy as np

    flat = space.sample(np.random.default_rng((7, number)))
    value = loss(space, flat, 1)
    checkpoint = "checkpoints/last.ckpt"
    journal.append(
        TrialCreated(trial=number, configuration=flat, source="searcher", seed=0)
    )
    journal.append(
        SegmentStarted(
            trial=number,
            attempt=1,
            from_epoch=0,
            until_epoch=1,
            checkpoint=None,
            folder=f"trials/{number:05d}/attempt-1",
        )
    )
    journal.append(
        EpochDone(
            trial=number,
            attempt=1,
            epoch=1,
            metrics={"val_mae": value, "train_loss": value, "seconds": 1.0},
            checkpoint=checkpoint,
        )
    )
    journal.append(
        SegmentFinished(trial=number, attempt=1, epoch=1, checkpoint=checkpoint)
    )


def _optuna(n: int, folder: Path) -> dict[str, float]:
    """Return the cost of an operation: begun, reported or told."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log"))
    storage = optuna.storages.JournalStorage(backend)
    sampler = optuna.samplers.RandomSampler(seed=1)
    pruner = optuna.pruners.SuccessiveHalvingPruner()
    study = optuna.create_study(storage=storage, sampler=sampler, pruner=pruner)
    made = [optuna.trial.create_trial(value=float(k)) for k in range(n)]
    study.add_trials(made)
    operations, began, used = 0, time.perf_counter(), time.process_time()
    for number in range(SEGMENTS):
        trial = study.ask()
        for epoch in (1, 2, 3):
            trial.report(float(number), epoch)
            trial.should_prune()
        study.tell(trial, float(number))
        operations += 5
    return _per(operations, began, used)


def _bare(folder: Path) -> dict[str, float]:
    count, began, used = 200, time.perf_counter(), time.process_time()
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT, 0o644)
    for number in range(count):
        os.pwrite(descriptor, b"x" * 300, 300 * number)
        os.fsync(descriptor)
    os.close(descriptor)
    return _per(count, began, used)


def _per(count: int, began: float, used: float) -> dict[str, Any]:
    return {
        "count": count,
        "wall_ms": 1000 * (time.perf_counter() - began) / count,
        "cpu_ms": 1000 * (time.process_time() - used) / count,
    }
