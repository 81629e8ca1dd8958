"""A bundle is complete, holds no code, and is refused where it does not fit."""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.toy_training import (
    FAMILY,
    ToyFamily,
    ToyStore,
    same_tensors,
    toy_config,
    toy_data,
    train_toy,
)

from sitenet_core.bundle import add_metrics, bundle_from_checkpoint, load_bundle
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.families import ModelMeta, batch_of
from sitenet_core.training.checkpoints import load_weights

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """Return the best checkpoint of a toy training and its bundle."""
    result, _ = train_toy(tmp_path / "training")
    folder = bundle_from_checkpoint(
        tmp_path / "models" / "bundle",
        result.best_checkpoint,
        toy_config(),
        toy_data(),
        {"val_mae": result.best_val_mae, "test_mae": None},
    )
    return result.best_checkpoint, folder


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of a bundle's header."""
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bundle_is_on_the_disk_when_its_training_is_done(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut too: its trial's checkpoints go as soon as it is there."""
    checkpoint, folder = trained
    synced: list[int] = []

    def note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    again = bundle_from_checkpoint(
        folder.with_name("again"), checkpoint, toy_config(), toy_data(), {}
    )
    files = [again / "bundle.json", again / "weights.safetensors"]
    for path in (*files, again, again.parent):
        assert path.stat().st_ino in synced
    add_metrics(again, {"test_mae": 1.0})
    assert files[0].stat().st_ino in synced


def test_a_bundle_predicts_what_the_checkpoint_predicts(
    trained: tuple[Path, Path],
) -> None:
    checkpoint, folder = trained
    bundle = load_bundle(folder)
    network = FAMILY.build(bundle.config, ModelMeta(bundle.target))
    network.load_state_dict(load_weights(checkpoint)[2])
    store = ToyStore()
    batch = batch_of(FAMILY, [store.record(i) for i in range(40)])
    with torch.no_grad():
        assert torch.equal(bundle.network(batch), network.eval()(batch))


def test_a_bundle_says_where_it_comes_from(trained: tuple[Path, Path]) -> None:
    _, folder = trained
    header = load_bundle(folder).header
    data = toy_data()
    assert header.config == toy_config().model_dump(mode="json")
    assert header.target == data.target
    assert header.data.store_digest == data.store.digest
    assert header.data.source_digest == data.store.header.source_digest
    assert header.data.split_digest == data.split.digest
    assert header.data.split == data.split.config.model_dump(mode="json")
    assert (header.data.n_train, header.data.n_validation) == (24, 9)
    assert set(header.metrics) == {"val_mae"}
    assert header.versions["torch"] == version("torch")
    assert header.epoch == load_weights(trained[0])[1]


def test_a_bundle_is_two_files_of_json_and_tensors(trained: tuple[Path, Path]) -> None:
    _, folder = trained
    assert sorted(f.name for f in folder.iterdir()) == [
        "bundle.json",
        "weights.safetensors",
    ]
    assert [f.name for f in folder.parent.iterdir()] == ["bundle"]


def test_metrics_can_be_added_after_the_test(trained: tuple[Path, Path]) -> None:
    _, folder = trained
    before = load_bundle(folder).header.metrics
    add_metrics(folder, {"test_mae": 0.25})
    assert load_bundle(folder).header.metrics == {**before, "test_mae": 0.25}


def test_a_new_bundle_replaces_the_old_one_whole(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    _, folder = trained
    old = load_file(folder / "weights.safetensors")
    config = toy_config(seed=5)
    result, _ = train_toy(tmp_path / "other", config)
    bundle_from_checkpoint(folder, result.last_checkpoint, config, toy_data(), {})
    assert not same_tensors(old, load_file(folder / "weights.safetensors"))
    assert load_bundle(folder).config == config
    assert [f.name for f in folder.parent.iterdir()] == ["bundle"]


def test_another_folder_is_never_overwritten(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("five years")
    with pytest.raises(ConfigError, match=r"exists and is not a bundle"):
        bundle_from_checkpoint(
            tmp_path / "precious", trained[0], toy_config(), toy_data(), {}
        )
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "five years"


def test_weights_of_another_training_are_refused(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"another training: config.optimizer"):
        bundle_from_checkpoint(
            tmp_path / "b", trained[0], toy_config(rate=0.5), toy_data(), {}
        )
    data = toy_data(ToyStore(50))
    with pytest.raises(ConfigError, match=r"another training: store"):
        bundle_from_checkpoint(tmp_path / "b", trained[0], toy_config(), data, {})
    assert not (tmp_path / "b").exists()


def test_loading_leaves_the_callers_random_numbers_alone(
    trained: tuple[Path, Path],
) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_bundle(trained[1])
    assert torch.equal(torch.rand(1), expected)


def test_a_missing_bundle_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bundle.json: cannot be read .* give the"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_bundle_of_another_version_is_refused(
    trained: tuple[Path, Path], version: object
) -> None:
    edit(trained[1], version=version)
    with pytest.raises(
        DataError, match=rf"version {version!r}; this .* reads version 1"
    ):
        load_bundle(trained[1])


def test_a_bundle_of_other_features_is_refused(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyFamily, "feature_version", 2)
    with pytest.raises(DataError, match=r"features of version 1, .* version 2"):
        load_bundle(trained[1])


def test_a_configuration_that_is_no_more_is_refused(trained: tuple[Path, Path]) -> None:
    config = {**toy_config().model_dump(mode="json"), "former_option": 1}
    edit(trained[1], config=config)
    with pytest.raises(DataError, match=r"1 keys, first former_option"):
        load_bundle(trained[1])


def test_weights_of_another_shape_are_refused(trained: tuple[Path, Path]) -> None:
    config = toy_config().model_dump(mode="json")
    edit(trained[1], config={**config, "model": {"width": 7}})
    with pytest.raises(DataError, match=r"weights do not fit .* size mismatch"):
        load_bundle(trained[1])


def test_exchanged_weights_are_noticed(trained: tuple[Path, Path]) -> None:
    file = trained[1] / "weights.safetensors"
    weights = load_file(file)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, file)
    with pytest.raises(DataError, match=r"SHA-256 differs"):
        load_bundle(trained[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "not a JSON object"), ("{}", "not the header")],
)
def test_a_damaged_header_is_refused(
    trained: tuple[Path, Path], content: str, message: str
) -> None:
    (trained[1] / "bundle.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_bundle(trained[1])


def test_a_misspelt_key_of_the_header_is_refused(trained: tuple[Path, Path]) -> None:
    edit(trained[1], metric={})
    with pytest.raises(DataError, match=r"1 wrong or missing keys, first metric"):
        load_bundle(trained[1])


def test_a_write_that_fails_leaves_no_bundle(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sitenet_core.bundle.save._write_header", full)
    with pytest.raises(OSError, match=r"No space left"):
        bundle_from_checkpoint(
            tmp_path / "new", trained[0], toy_config(), toy_data(), {}
        )
    assert [f.name for f in tmp_path.iterdir() if "new" in f.name] == []
