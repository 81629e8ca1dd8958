"""A training: what it computes, what it leaves behind, and what it leaves alone."""

import os
import random
import signal
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.toy_training import (
    FAMILY,
    TARGET,
    ToyNetwork,
    ToyStore,
    same_tensors,
    toy_config,
    toy_data,
    train_toy,
)

from sitenet_core.errors import ConfigError, DataError
from sitenet_core.families import batch_of
from sitenet_core.training import EpochRecord, FitOptions, fit, read_curve
from sitenet_core.training.checkpoints import load_state, load_weights

pytestmark = pytest.mark.usefixtures("toy")


def test_training_lowers_the_error_and_reports_what_it_did(tmp_path: Path) -> None:
    result, records = train_toy(tmp_path, toy_config(epochs=40, rate=0.03))
    assert result.epochs == 40
    assert [r.epoch for r in records] == list(range(1, 41))
    assert records[-1].train_loss < 0.3 * records[0].train_loss
    assert result.best_val_mae == min(r.val_mae for r in records if r.val_mae)
    assert records[result.best_epoch - 1].val_mae == result.best_val_mae
    assert (result.n_train, result.n_validation) == (24, 9)
    assert result.n_parameters == 4 + 4 + 8 + 5
    assert (result.threads, result.device) == (1, "cpu")
    assert all(r.learning_rate == 0.03 and r.peak_bytes > 1e6 for r in records)


def test_validation_mae_counts_every_crystal_once(tmp_path: Path) -> None:
    data = toy_data()
    result, _ = train_toy(tmp_path, toy_config(epochs=2), data)
    rows = data.store.index_of(data.validation_ids)
    network = ToyNetwork(4)
    network.load_state_dict(load_weights(result.last_checkpoint)[2])
    network.eval()
    records = [data.store.record(int(row)) for row in rows]
    sizes = [len(record["beads"]) for record in records]
    assert sum(sizes) > 12, "one batch could not show uneven weighting"
    errors = [
        abs(network(batch_of(FAMILY, [r])).item() - data.store.labels("y")[row])
        for r, row in zip(records, rows, strict=True)
    ]
    assert result.val_mae == pytest.approx(np.mean(errors), rel=1e-6)


def test_the_sign_of_the_target_is_applied(tmp_path: Path) -> None:
    flipped = toy_data(target=TARGET.model_copy(update={"sign": -1}))
    flipped.store.values = -flipped.store.values  # type: ignore[attr-defined]
    first, _ = train_toy(tmp_path / "a", toy_config(epochs=2))
    second, _ = train_toy(tmp_path / "b", toy_config(epochs=2), flipped)
    assert first.val_mae == second.val_mae


def test_the_files_of_an_epoch_are_there_when_the_caller_is_told(
    tmp_path: Path,
) -> None:
    seen = []

    def look(record: EpochRecord) -> None:
        state = load_state(tmp_path / "checkpoints" / "last.ckpt")
        curve = read_curve(tmp_path / "curve.csv")
        _, best_epoch, _ = load_weights(tmp_path / "checkpoints" / "best.ckpt")
        assert state.epoch == record.epoch == len(curve)
        assert curve[-1] == record == state.curve[-1]
        assert best_epoch == state.best.epoch
        seen.append(record.epoch)

    fit(toy_config(), toy_data(), FitOptions(tmp_path, device="cpu"), look)
    assert seen == [1, 2, 3, 4]


def test_nothing_but_checkpoints_and_curve_is_written(tmp_path: Path) -> None:
    train_toy(tmp_path, toy_config(epochs=1))
    files = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    assert files == {"curve.csv", "checkpoints/last.ckpt", "checkpoints/best.ckpt"}


def test_equal_seeds_give_equal_weights_and_other_seeds_do_not(tmp_path: Path) -> None:
    weights = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)  # the caller's own random state has no part in it
        result, _ = train_toy(tmp_path / str(number), toy_config(epochs=2, seed=seed))
        weights.append(load_weights(result.last_checkpoint)[2])
    assert same_tensors(weights[0], weights[1])
    assert not same_tensors(weights[0], weights[2])


def test_a_training_without_validation_keeps_the_last_weights(tmp_path: Path) -> None:
    data = toy_data(train_on="train+validation")
    result, records = train_toy(tmp_path, toy_config(epochs=3), data)
    assert (result.n_train, result.n_validation) == (33, 0)
    assert result.val_mae is None
    assert result.best_val_mae is None
    assert [r.val_mae for r in records] == [None] * 3
    assert result.best_epoch == 3
    assert read_curve(tmp_path / "curve.csv") == records
    last, best = (
        load_weights(path)[2]
        for path in (result.last_checkpoint, result.best_checkpoint)
    )
    assert same_tensors(last, best)


def test_the_callers_surroundings_are_given_back(tmp_path: Path) -> None:
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 (the global state is what must not change)
    random.seed(3)
    expected = (torch.rand(1), np.random.rand(), random.random())  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    n_threads, n_torch = threading.active_count(), torch.get_num_threads()
    for number in range(3):
        train_toy(tmp_path / str(number), toy_config(epochs=1))
    assert (torch.rand(1), np.random.rand(), random.random()) == expected  # noqa: NPY002
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert threading.active_count() == n_threads
    assert torch.get_num_threads() == n_torch


def test_threads_are_set_recorded_and_given_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    inside = []
    options = FitOptions(tmp_path, device="cpu", threads=before + 1)
    result = fit(
        toy_config(epochs=1),
        toy_data(),
        options,
        lambda _: inside.append(torch.get_num_threads()),
    )
    assert inside == [before + 1]
    assert result.threads == before + 1
    assert load_state(result.last_checkpoint).machine["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_no_signal_handler_is_installed_while_it_trains(tmp_path: Path) -> None:
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1)]
    during = []

    def look(_: EpochRecord) -> None:
        during.append([signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1)])

    options = FitOptions(tmp_path, device="cpu")
    fit(toy_config(epochs=1), toy_data(), options, look)
    assert during == [before]


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_reaches_the_caller_and_works_a_second_time(tmp_path: Path) -> None:
    def interrupt(_: EpochRecord) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    options = FitOptions(tmp_path, device="cpu")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(toy_config(epochs=50), toy_data(), options, interrupt)


def test_it_runs_in_a_thread_without_warnings_and_with_equal_numbers(
    tmp_path: Path,
) -> None:
    outcome: list[object] = []

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome.append(train_toy(tmp_path / "thread")[0].val_mae)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == [train_toy(tmp_path / "main")[0].val_mae]


def test_what_the_caller_raises_ends_the_training(tmp_path: Path) -> None:
    def stop(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise SystemExit(7)

    options = FitOptions(tmp_path, device="cpu")
    with pytest.raises(SystemExit, match=r"7"):
        fit(toy_config(), toy_data(), options, stop)
    assert load_state(tmp_path / "checkpoints" / "last.ckpt").epoch == 2


@pytest.mark.parametrize(("precision", "dtype"), [("64", "float64"), ("32", "float32")])
def test_weights_have_the_precision_asked_for(
    tmp_path: Path, precision: str, dtype: str
) -> None:
    result, _ = train_toy(tmp_path, toy_config(epochs=1, precision=precision))
    weights = load_weights(result.last_checkpoint)[2]
    assert str(weights["layers.0.weight"].dtype) == f"torch.{dtype}"


def test_bfloat16_trains_on_the_cpu_and_differs_from_single(tmp_path: Path) -> None:
    mixed, _ = train_toy(tmp_path / "a", toy_config(precision="bf16-mixed"))
    single, _ = train_toy(tmp_path / "b", toy_config())
    assert mixed.val_mae == pytest.approx(single.val_mae, rel=0.05)
    assert mixed.val_mae != single.val_mae


def test_half_precision_on_the_cpu_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs a GPU.*use '32' or 'bf16-mixed'"):
        train_toy(tmp_path, toy_config(precision="16-mixed"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"torch sees no GPU"):
        fit(toy_config(), toy_data(), FitOptions(tmp_path, device="gpu"))


@pytest.mark.parametrize("until", [0, 5])
def test_a_rung_outside_the_training_is_refused(tmp_path: Path, until: int) -> None:
    with pytest.raises(ConfigError, match=f"until_epoch is {until}; .* 1 and .* 4"):
        train_toy(tmp_path, toy_config(epochs=4), until=until)


def test_a_store_of_other_settings_is_refused(tmp_path: Path) -> None:
    config = toy_config()
    other = config.model_copy(
        update={"cell": config.cell.model_copy(update={"scale": 2})}
    )
    with pytest.raises(ConfigError, match=r"scale is 1.0 in the store and 2.0 here"):
        train_toy(tmp_path, other)


def test_a_crystal_without_a_target_is_refused_by_name(tmp_path: Path) -> None:
    store = ToyStore()
    store.values[3] = np.nan
    with pytest.raises(DataError, match=r"'y' has no finite value .* first 'toy-3'"):
        train_toy(tmp_path, data=toy_data(store))


@pytest.mark.parametrize(("n_train", "n_validation"), [(0, 5), (5, 0)])
def test_an_empty_side_of_the_split_is_refused(
    tmp_path: Path, n_train: int, n_validation: int
) -> None:
    data = toy_data(n_train=n_train, n_validation=n_validation)
    with pytest.raises(DataError, match=r"the split has no (training|validation)"):
        train_toy(tmp_path, data=data)


def test_the_progress_bar_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n_threads = threading.active_count()
    options = FitOptions(tmp_path, device="cpu", progress=True)
    fit(toy_config(), toy_data(), options)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "4/4" in captured.err
    assert "validation" in captured.err
    fit(toy_config(), toy_data(), replace(options, progress=False))
    assert capsys.readouterr().err == ""
    assert threading.active_count() == n_threads
