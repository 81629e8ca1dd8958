"""Real trainings that run out of memory: they end as if there had been enough."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.conducted_study import Bench, work
from support.limited_memory import narrow, wide_data, wide_payload

from search.engine.desk import Desk
from search.engine.schedulers import Asha
from search.engine.segment import Answer
from search.journal import StudyState, read_journal
from search.journal.events import SegmentStarted
from search.trial.outcome import Outcome
from sitenet_core.bundle.header import WEIGHTS_FILE
from sitenet_core.models.sitenet.attention import AttentionBlock
from sitenet_core.training import TrainingData
from sitenet_core.training.module import TrainingModule


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return wide_data(tmp_path_factory.mktemp("stores"))


@contextmanager
def memory_for(most: int, *, of: str) -> Iterator[None]:
    """Stand in for an allocator that has room for `most` pairs of a group or chunk."""
    error, rows = TrainingModule._error, AttentionBlock._rows

    def group(self: TrainingModule, batch: Any) -> torch.Tensor:
        allocate(len(batch.pair_site))
        return error(self, batch)

    def chunk(self: AttentionBlock, bonds: Any, *args: Any) -> Any:
        allocate(bonds.chunk.n_pairs)
        return rows(self, bonds, *args)

    def allocate(n_pairs: int) -> None:
        if n_pairs > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 12 GB")

    with pytest.MonkeyPatch.context() as patch:
        if of == "group":
            patch.setattr(TrainingModule, "_error", group)
        else:
            patch.setattr(AttentionBlock, "_rows", chunk)
        yield


def study(folder: Path, data: TrainingData, norm: str) -> StudyState:
    """Return a study of one training of two epochs, the second a rung of its own."""
    folder.mkdir(exist_ok=True)
    bench = Bench(folder, Asha(2, min_epochs=1, eta=2), rules={"trials": 2})
    conductor = bench.desk(bench.journal()).conductor
    desk = Desk(conductor, folder, wide_payload(folder, data, narrow(norm)))
    for number in range(100):
        answer = desk.next(f"handle-{number}")
        if isinstance(answer, Answer):
            break
        work(desk, f"handle-{number}", answer)
    return conductor.state


def sizes(folder: Path, trial: int) -> list[int | None]:
    events = (entry.event for entry in read_journal(folder / "journal.jsonl"))
    return [
        e.micro_batch
        for e in events
        if isinstance(e, SegmentStarted) and e.trial == trial
    ]


@pytest.mark.parametrize(
    ("norm", "of", "most"), [("layer", "group", 4000), ("batch", "chunk", 1500)]
)
def test_a_training_that_was_halved_ends_with_the_same_weights(
    tmp_path: Path, data: TrainingData, norm: str, of: str, most: int
) -> None:
    whole = study(tmp_path / "whole", data, norm)
    with memory_for(most, of=of):
        halved = study(tmp_path / "halved", data, norm)
    for trial in (0, 1):
        assert halved.details[trial].halvings >= 2
        expected = whole.trials[trial].epoch_values
        assert halved.trials[trial].epoch_values == pytest.approx(expected, rel=1e-9)
    outcomes = [t.outcome for t in halved.trials]
    assert outcomes == [t.outcome for t in whole.trials]
    winner = outcomes.index(Outcome.COMPLETED)
    one, other = (
        load_file(tmp_path / name / f"trials/{winner:05d}/bundle" / WEIGHTS_FILE)
        for name in ("whole", "halved")
    )
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-8, atol=1e-10)
    first, *rest = sizes(tmp_path / "halved", winner)
    assert first is None
    assert rest[-1] == rest[-2], "the second rung begins with what fitted in the first"


def test_a_configuration_that_cannot_fit_is_infeasible(
    tmp_path: Path, data: TrainingData
) -> None:
    with memory_for(100, of="group"):
        state = study(tmp_path, data, "layer")
    for trial in (0, 1):
        record = state.trials[trial]
        assert record.outcome is Outcome.FAILED_OOM
        assert record.message.startswith(
            "infeasible: does not fit with one crystal at a time: no memory left for "
            "sitenet on cpu, 13 crystals: DefaultCPUAllocator"
        )
        tried = sizes(tmp_path, trial)
        smallest = tried[-1]
        assert smallest is not None
        assert smallest <= 512
