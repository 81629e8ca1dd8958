"""A training that is interrupted and resumed ends as if it had never been."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.slow_training import SLOW_AFTER
from support.toy_training import (
    ToyConfig,
    ToyStore,
    same_tensors,
    toy_config,
    toy_data,
    train_toy,
)

from sitenet_core.errors import ConfigError
from sitenet_core.training import EpochRecord, FitOptions, fit, read_curve
from sitenet_core.training.checkpoints import TrainingState, load_state, load_weights

pytestmark = pytest.mark.usefixtures("toy")

TESTS = Path(__file__).resolve().parents[2]


def timeless(record: EpochRecord) -> EpochRecord:
    """Return the record without what depends on the machine's mood."""
    return replace(record, seconds=0.0, peak_bytes=0)


def assert_same(first: TrainingState, second: TrainingState) -> None:
    """Compare everything that the rest of a training depends on."""
    assert first.epoch == second.epoch
    for name in ("weights", "optimizer", "random"):
        assert same_tensors(getattr(first, name), getattr(second, name)), name
    assert first.best.epoch == second.best.epoch
    assert first.best.val_mae == second.best.val_mae
    assert same_tensors(first.best.weights, second.best.weights)
    one, two = (list(map(timeless, state.curve)) for state in (first, second))
    assert one == two


@pytest.mark.parametrize("precision", ["32", "64", "bf16-mixed"])
def test_resuming_in_another_folder_continues_bit_for_bit(
    tmp_path: Path, precision: str
) -> None:
    config = toy_config(epochs=6, precision=precision)
    whole, _ = train_toy(tmp_path / "whole", config)
    half, before = train_toy(tmp_path / "a", config, until=3)
    rest, after = train_toy(tmp_path / "b", config, resume_from=half.last_checkpoint)
    assert half.epochs == 3
    assert [r.epoch for r in (*before, *after)] == [1, 2, 3, 4, 5, 6]
    assert_same(load_state(whole.last_checkpoint), load_state(rest.last_checkpoint))
    assert rest.best_val_mae == whole.best_val_mae
    rows = read_curve(tmp_path / "b" / "curve.csv")
    assert list(map(timeless, rows)) == list(
        map(timeless, read_curve(tmp_path / "whole" / "curve.csv"))
    )


def test_random_numbers_of_the_network_continue_where_they_were(
    tmp_path: Path,
) -> None:
    plain = toy_config(epochs=4).model_dump()
    config = ToyConfig.model_validate({**plain, "model": {"dropout": 0.3}})
    whole, _ = train_toy(tmp_path / "whole", config)
    half, _ = train_toy(tmp_path / "a", config, until=2)
    rest, _ = train_toy(tmp_path / "b", config, resume_from=half.last_checkpoint)
    assert_same(load_state(whole.last_checkpoint), load_state(rest.last_checkpoint))


def test_resuming_continues_at_each_epoch_whatever_was_run_before(
    tmp_path: Path,
) -> None:
    whole, _ = train_toy(tmp_path / "whole", toy_config(epochs=5))
    checkpoint = None
    for epoch in range(1, 6):
        torch.manual_seed(epoch)  # other work in the same process
        folder = tmp_path / str(epoch)
        part, _ = train_toy(
            folder, toy_config(epochs=5), until=epoch, resume_from=checkpoint
        )
        checkpoint = part.last_checkpoint
    assert_same(load_state(whole.last_checkpoint), load_state(part.last_checkpoint))


def test_the_best_weights_come_along_with_a_copied_checkpoint(tmp_path: Path) -> None:
    # A rate at which the error rises after the first epochs.
    config = toy_config(epochs=30, rate=0.9)
    whole, _ = train_toy(tmp_path / "whole", config)
    until = whole.best_epoch + 1
    assert until < 30, "the best epoch must not be the last for this to show anything"
    half, _ = train_toy(tmp_path / "a", config, until=until)
    (tmp_path / "elsewhere").mkdir()
    copied = shutil.copy(half.last_checkpoint, tmp_path / "elsewhere" / "copy.ckpt")
    shutil.rmtree(tmp_path / "a")
    rest, _ = train_toy(tmp_path / "b", config, resume_from=Path(copied))
    assert (rest.best_epoch, rest.best_val_mae) == (
        whole.best_epoch,
        whole.best_val_mae,
    )
    assert same_tensors(
        load_weights(rest.best_checkpoint)[2], load_weights(whole.best_checkpoint)[2]
    )
    assert not same_tensors(
        load_weights(rest.best_checkpoint)[2], load_weights(rest.last_checkpoint)[2]
    )


def test_resuming_in_the_same_folder_repeats_no_row(tmp_path: Path) -> None:
    half, _ = train_toy(tmp_path, until=2)
    train_toy(tmp_path, resume_from=half.last_checkpoint)
    assert [r.epoch for r in read_curve(tmp_path / "curve.csv")] == [1, 2, 3, 4]


def test_a_checkpoint_at_the_end_gives_its_result_without_training(
    tmp_path: Path,
) -> None:
    done, _ = train_toy(tmp_path / "a")
    again, records = train_toy(tmp_path / "b", resume_from=done.last_checkpoint)
    assert records == []
    assert (again.epochs, again.val_mae, again.best_val_mae) == (
        done.epochs,
        done.val_mae,
        done.best_val_mae,
    )
    assert_same(load_state(done.last_checkpoint), load_state(again.last_checkpoint))
    assert again.best_checkpoint.is_file()


def test_a_killed_process_is_continued_as_if_it_had_lived(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "support.slow_training", str(folder)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert line == "under way\n"
    last = folder / "checkpoints" / "last.ckpt"
    assert load_state(last).epoch == SLOW_AFTER
    resumed, _ = train_toy(folder, toy_config(epochs=6), resume_from=last)
    whole, _ = train_toy(tmp_path / "whole", toy_config(epochs=6))
    assert_same(load_state(whole.last_checkpoint), load_state(resumed.last_checkpoint))


def test_more_epochs_may_be_asked_for_and_nothing_else_changed(tmp_path: Path) -> None:
    half, _ = train_toy(tmp_path / "a", toy_config(epochs=2))
    longer, _ = train_toy(
        tmp_path / "b", toy_config(epochs=3), resume_from=half.last_checkpoint
    )
    assert longer.epochs == 3
    with pytest.raises(ConfigError, match=r"config.training.seed \(0 in .*, 1 now\)"):
        train_toy(
            tmp_path / "c",
            toy_config(epochs=3, seed=1),
            resume_from=half.last_checkpoint,
        )
    with pytest.raises(ConfigError, match=r"store \('store-40-0' in .* 'store-50-0'"):
        train_toy(
            tmp_path / "d",
            toy_config(epochs=3),
            toy_data(ToyStore(50)),
            resume_from=half.last_checkpoint,
        )


def test_a_checkpoint_beyond_the_end_is_refused(tmp_path: Path) -> None:
    done, _ = train_toy(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"has 4 epochs behind it .* ends at epoch 2"):
        train_toy(tmp_path / "b", until=2, resume_from=done.last_checkpoint)


def test_the_best_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    done, _ = train_toy(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"resume from the last.ckpt beside it"):
        train_toy(tmp_path / "b", resume_from=done.best_checkpoint)


def test_the_deadline_leaves_a_checkpoint_that_can_be_continued(tmp_path: Path) -> None:
    first, _ = train_toy(tmp_path / "a", until=1)
    options = FitOptions(
        tmp_path / "a", resume_from=first.last_checkpoint, device="cpu", threads=1
    )
    rest = fit(toy_config(), toy_data(), replace(options, deadline_seconds=60.0))
    whole, _ = train_toy(tmp_path / "whole")
    assert_same(load_state(whole.last_checkpoint), load_state(rest.last_checkpoint))
