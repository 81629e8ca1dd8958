"""Groups of a batch on several threads: the same groups train to the same bits."""

import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.sitenet_training import CHANGES, build_prototypes, prototype_data
from support.toy_training import same_tensors

from sitenet_core.errors import OutOfMemoryError
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training import FitOptions, FitResult, TrainingData, fit
from sitenet_core.training.checkpoints import load_state
from sitenet_core.training.module import TrainingModule
from sitenet_core.training.workers import GroupWorkers, shared_budget

PAIRS = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return prototype_data(build_prototypes(tmp_path_factory.mktemp("stores")))


def trained(
    data: TrainingData, folder: Path, threads: int, norm: str = "layer"
) -> FitResult:
    """Train a small network for two epochs, in groups of a few pairs."""
    config = SiteNetConfig.from_preset(
        "test",
        CHANGES
        | {
            "batch": {"unique_sites": 90},
            "model": {"normalization": norm},
            "training": {"epochs": 2},
        },
    )
    options = FitOptions(folder, threads=threads, device="cpu", micro_batch=PAIRS)
    return fit(config, data, options)


@pytest.fixture
def threads_seen(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the threads that took a group through the network."""
    names: set[str] = set()
    error = TrainingModule._error

    def noted(self: TrainingModule, batch: object) -> torch.Tensor:
        names.add(threading.current_thread().name)
        return error(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingModule, "_error", noted)
    return names


def test_the_same_groups_train_to_the_same_bits_with_any_number_of_threads(
    data: TrainingData, tmp_path: Path, threads_seen: set[str]
) -> None:
    results = {n: trained(data, tmp_path / str(n), n) for n in (1, 2, 3)}
    assert len(threads_seen) > 2, "the groups were not shared out"
    states = {n: load_state(r.last_checkpoint) for n, r in results.items()}
    for n in (2, 3):
        assert same_tensors(states[n].weights, states[1].weights)
        assert same_tensors(states[n].optimizer, states[1].optimizer)
        assert results[n].val_mae == results[1].val_mae
        assert results[n].threads == n


def test_a_batch_in_one_piece_stays_with_the_thread_that_trains(
    data: TrainingData, tmp_path: Path, threads_seen: set[str]
) -> None:
    trained(data, tmp_path, 2, norm="batch")
    assert threads_seen == {threading.current_thread().name}


def test_lack_of_memory_in_a_thread_reaches_the_caller(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> torch.Tensor:
        raise MemoryError("no room")

    monkeypatch.setattr(TrainingModule, "_error", full)
    before = threading.active_count()
    with pytest.raises(OutOfMemoryError, match="no room"):
        trained(data, tmp_path, 2)
    assert threading.active_count() <= before


def test_results_come_in_order_and_no_more_groups_are_made_than_are_worked_on() -> None:
    workers = GroupWorkers(2)
    made: list[int] = []

    def groups() -> object:
        for k in range(9):
            made.append(k)
            yield k

    done = []
    for result in workers.results(lambda k: k, groups()):  # type: ignore[arg-type]
        done.append(result)
        assert len(made) <= len(done) + 2
    workers.close()
    assert done == list(range(9))


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 16))
def test_a_batch_is_shared_among_threads_only_where_each_has_enough(
    budget: int, total: int, n_threads: int
) -> None:
    found = shared_budget(budget, total, n_threads)
    assert found is not None
    assert found <= budget
    if n_threads == 1 or total < 2 * 8192:
        assert found == min(budget, total)
    else:
        assert found >= min(budget, 8192)
        assert found * n_threads >= min(total, budget * n_threads)
    assert shared_budget(None, total, n_threads) is None
