"""Each way in which a training fails ends in the error that says who acts."""

import time
from pathlib import Path

import pytest
import torch
from support.toy_training import (
    TARGET,
    ToyBatch,
    ToyNetwork,
    ToyStore,
    toy_config,
    toy_data,
    train_toy,
)
from torch import Tensor

from sitenet_core.errors import (
    DataError,
    NonFiniteLossError,
    OutOfMemoryError,
    TrialTimeoutError,
)
from sitenet_core.training import FitOptions, fit
from sitenet_core.training.checkpoints import load_state
from sitenet_core.training.memory import is_out_of_memory

pytestmark = pytest.mark.usefixtures("toy")

CPU_MESSAGE = (
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate "
    "memory: you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate "
    "memory)"
)


def spoil_forward(
    monkeypatch: pytest.MonkeyPatch, at_call: int, *, value: float, training: bool
) -> None:
    """Multiply the predictions by `value` from the given call of `forward` on."""
    forward = ToyNetwork.forward
    calls = [0]

    def spoiled(self: ToyNetwork, batch: ToyBatch) -> Tensor:
        predictions = forward(self, batch)
        if self.training is training:
            calls[0] += 1
            if calls[0] >= at_call:
                return predictions * value
        return predictions

    monkeypatch.setattr(ToyNetwork, "forward", spoiled)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_epoch_and_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    first, _ = train_toy(tmp_path, until=2)
    spoil_forward(monkeypatch, 3, value=value, training=True)
    with pytest.raises(
        NonFiniteLossError,
        match=r"loss of batch 3 became (nan|inf) in epoch 3 at learning rate 0.01;",
    ):
        train_toy(tmp_path, resume_from=first.last_checkpoint)
    assert load_state(first.last_checkpoint).epoch == 2


def test_a_validation_error_that_is_no_number_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_forward(monkeypatch, 1, value=float("nan"), training=False)
    with pytest.raises(
        NonFiniteLossError, match=r"validation MAE became nan in epoch 1"
    ):
        train_toy(tmp_path)
    assert list(tmp_path.rglob("*.ckpt")) == []


def test_the_deadline_ends_a_training_within_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = ToyNetwork.forward

    def slowly(self: ToyNetwork, batch: ToyBatch) -> Tensor:
        time.sleep(0.05)
        return forward(self, batch)

    monkeypatch.setattr(ToyNetwork, "forward", slowly)
    started = time.monotonic()
    options = FitOptions(tmp_path, device="cpu", deadline_seconds=0.3)
    with pytest.raises(TrialTimeoutError, match=r"used up its 0.3 s after 0 finished"):
        fit(toy_config(epochs=100), toy_data(), options)
    assert time.monotonic() - started < 2


def test_the_deadline_counts_during_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = ToyNetwork.forward

    def slowly(self: ToyNetwork, batch: ToyBatch) -> Tensor:
        time.sleep(0 if self.training else 0.6)
        return forward(self, batch)

    monkeypatch.setattr(ToyNetwork, "forward", slowly)
    options = FitOptions(tmp_path, device="cpu", deadline_seconds=0.5)
    with pytest.raises(TrialTimeoutError, match=r"0 finished epochs"):
        fit(toy_config(epochs=100), toy_data(), options)
    assert not (tmp_path / "curve.csv").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB."),
        MemoryError(),
        RuntimeError(CPU_MESSAGE),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"
        ),
    ],
    ids=["cuda", "python", "cpu", "cublas"],
)
def test_every_form_of_lacking_memory_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def forward(_: ToyNetwork, __: ToyBatch) -> Tensor:
        raise error

    monkeypatch.setattr(ToyNetwork, "forward", forward)
    with pytest.raises(
        OutOfMemoryError, match=r"no memory left for toy on cpu.*smaller"
    ):
        train_toy(tmp_path)


def test_the_cpu_allocator_says_what_is_listened_for() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_another_runtime_error_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(_: ToyNetwork, __: ToyBatch) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(ToyNetwork, "forward", forward)
    with pytest.raises(RuntimeError, match=r"mat1 and mat2"):
        train_toy(tmp_path)


def test_negative_targets_are_refused_where_predictions_are_clamped(
    tmp_path: Path,
) -> None:
    store = ToyStore()
    store.values = abs(store.values)
    store.values[[3, 7, 30]] = -0.5  # the last is validated on, not trained on
    target = TARGET.model_copy(update={"clamp": "non_negative"})
    options = FitOptions(tmp_path, threads=1, device="cpu")
    with pytest.raises(
        DataError,
        match=r"2 of 24 training crystals .* first 'toy-3', .*clamp.*target.sign to -1",
    ):
        fit(toy_config(), toy_data(store, target=target), options)


def test_targets_that_their_sign_makes_positive_can_be_clamped(tmp_path: Path) -> None:
    store = ToyStore()
    store.values = -abs(store.values)
    target = TARGET.model_copy(update={"clamp": "non_negative", "sign": -1})
    options = FitOptions(tmp_path, until_epoch=1, threads=1, device="cpu")
    assert fit(toy_config(), toy_data(store, target=target), options).epochs == 1
