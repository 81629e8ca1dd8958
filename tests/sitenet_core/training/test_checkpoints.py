"""Checkpoints: data and nothing else, and refused where they do not fit."""

import pickletools
import random
import zipfile
from pathlib import Path

import pytest
import torch
from support.toy_training import train_toy

from sitenet_core.errors import CheckpointError, ConfigError, DataError
from sitenet_core.training.checkpoints import load_state, load_weights

pytestmark = pytest.mark.usefixtures("toy")

HARMLESS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "torch ByteStorage",
    "torch LongStorage",
}


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_checkpoint_names_no_class_but_torchs_own_tensors(
    tmp_path: Path, name: str
) -> None:
    train_toy(tmp_path, until=2)
    with zipfile.ZipFile(tmp_path / "checkpoints" / f"{name}.ckpt") as archive:
        (member,) = (n for n in archive.namelist() if n.endswith("data.pkl"))
        content = archive.read(member)
    found = {
        argument
        for operation, argument, _ in pickletools.genops(content)
        if operation.name == "GLOBAL"
    }
    assert found
    assert found <= HARMLESS
    assert not any(
        operation.name in {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ"}
        for operation, _, _ in pickletools.genops(content)
    )


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"format": 1, "kind": "last", "weights": Path("/")}, path)
    with pytest.raises(DataError, match=r"is not a checkpoint of a training"):
        load_state(path)


def test_a_missing_checkpoint_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such checkpoint"):
        load_state(tmp_path / "last.ckpt")


def test_a_cut_checkpoint_is_refused(tmp_path: Path) -> None:
    result, _ = train_toy(tmp_path, until=1)
    content = result.last_checkpoint.read_bytes()
    result.last_checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"or is damaged"):
        load_state(result.last_checkpoint)


def test_an_empty_checkpoint_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.touch()
    with pytest.raises(CheckpointError, match=r"or is damaged \(it is empty\); start"):
        load_state(path)


def test_a_checkpoint_with_changed_bytes_is_read_or_refused(tmp_path: Path) -> None:
    """Torch meets them in many ways; a study has to know them all for one thing."""
    result, _ = train_toy(tmp_path, until=1)
    content = result.last_checkpoint.read_bytes()
    numbers, refused = random.Random(0), []
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(20):
            damaged[numbers.randrange(len(damaged))] = numbers.randrange(256)
        result.last_checkpoint.write_bytes(damaged)
        try:
            load_state(result.last_checkpoint)
        except CheckpointError as error:
            refused.append(str(error))
    assert len(refused) > 150
    assert not any("damaged ()" in words for words in refused)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    result, _ = train_toy(tmp_path, until=1)
    content = torch.load(result.last_checkpoint, weights_only=True)
    torch.save({**content, "format": 2}, result.last_checkpoint)
    with pytest.raises(
        DataError, match=r"checkpoint of format 2; this version reads .* 1"
    ):
        load_weights(result.last_checkpoint)


def test_threads_device_and_groups_are_recorded(tmp_path: Path) -> None:
    result, _ = train_toy(tmp_path, until=1)
    machine = load_state(result.last_checkpoint).machine
    assert machine == {"device": "cpu", "threads": 1, "micro_batch": 12}
    assert result.micro_batch == 12
