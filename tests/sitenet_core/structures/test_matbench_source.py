"""A Matbench task from a file in matminer's own format, without a network."""

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from matminer.datasets import load_dataset, utils
from matminer.datasets.dataset_retrieval import get_all_dataset_info
from matminer.utils.io import store_dataframe_as_json
from sklearn.model_selection import KFold
from support.structure_files import rock_salt

from sitenet_core.config import DataConfig, TargetConfig
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.structures import StructureRecord, open_source
from sitenet_core.structures.sources import split_json
from sitenet_core.structures.sources.matbench import TASKS, official_id


def data(source: str, column: str = "last phdos peak") -> DataConfig:
    target = TargetConfig(column=column, name="peak", unit="1/cm")
    return DataConfig(source=source, target=target)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small matbench_phonons where matminer looks for it."""
    monkeypatch.setenv("MATMINER_DATA", str(tmp_path))
    pairs = [("Na", "Cl"), ("K", "Br"), ("Li", "F"), ("Rb", "I"), ("Na", "F")] * 3
    frame = pd.DataFrame(
        {
            "structure": [
                rock_salt(a, b, 5 + i / 10) for i, (a, b) in enumerate(pairs)
            ],
            "last phdos peak": [100.0 + i for i in range(len(pairs))],
        }
    )
    path = tmp_path / "matbench_phonons.json.gz"
    store_dataframe_as_json(frame, str(path), compression="gz", pbar=False)
    return path


@pytest.mark.parametrize("chunk", [1 << 20, 700])
@pytest.mark.usefixtures("cached")
def test_rows_are_those_that_matminer_loads(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(split_json, "_CHUNK", chunk)
    frame = load_dataset("matbench_phonons", pbar=False)
    source = open_source(data("matbench:phonons"), data_root=None)
    found = [row for row in source if isinstance(row, StructureRecord)]
    assert len(source) == len(found) == len(frame) == 15
    for record, (_, row) in zip(found, frame.iterrows(), strict=True):
        assert record.labels == {"last phdos peak": row["last phdos peak"]}
        assert record.structure == row["structure"]


@pytest.mark.usefixtures("cached")
def test_ids_and_folds_are_those_of_matbench() -> None:
    source = open_source(data("matbench:matbench_phonons"), data_root=None)
    items = list(source.items())
    assert [items[0].id, items[14].id] == ["mb-phonons-01", "mb-phonons-15"]
    assert source.has_folds
    splitter = KFold(n_splits=5, shuffle=True, random_state=18012019)
    for fold, (_, test) in enumerate(splitter.split(np.arange(15))):
        assert [i for i, item in enumerate(items) if item.fold == fold] == list(test)


def test_official_ids_have_the_published_digits() -> None:
    assert official_id("matbench_mp_gap", 0, 106113) == "mb-mp-gap-000001"
    assert official_id("matbench_perovskites", 178, 18928) == "mb-perovskites-00179"
    assert official_id("matbench_phonons", 1264, 1265) == "mb-phonons-1265"


def test_a_file_that_is_not_the_published_one_is_announced(
    cached: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        open_source(data("matbench:phonons"), data_root=None)
    assert f"{cached}: is not the published file" in caplog.text


def test_the_digest_follows_the_file(cached: Path) -> None:
    before = open_source(data("matbench:phonons"), data_root=None).digest()
    frame = load_dataset("matbench_phonons", pbar=False)
    frame.loc[3, "last phdos peak"] = 7.0
    store_dataframe_as_json(frame, str(cached), compression="gz", pbar=False)
    assert open_source(data("matbench:phonons"), data_root=None).digest() != before


def test_without_a_network_the_error_says_which_file_to_put_where(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise requests.ConnectionError("no network")

    monkeypatch.setenv("MATMINER_DATA", str(tmp_path / "new"))
    monkeypatch.setattr(utils.requests, "get", unreachable)
    with pytest.raises(DataError) as caught:
        open_source(data("matbench:mp_gap", "gap pbe"), data_root=None)
    path = tmp_path / "new" / "matbench_mp_gap.json.gz"
    assert f"matbench_mp_gap.json.gz at {path}" in str(caught.value)
    assert "https://" in str(caught.value)
    assert caught.value.exit_code == 3
    assert not path.exists()
    assert capsys.readouterr().out == ""


class BrokenResponse:
    """A download that ends after its first bytes."""

    content = b"1234"

    def iter_content(self, chunk_size: int) -> Iterator[bytes]:
        yield self.content[:chunk_size]
        raise requests.ConnectionError("reset by peer")

    def close(self) -> None:
        """Nothing to close."""


class WrongResponse(BrokenResponse):
    """A download of something else than the published file."""

    def iter_content(self, chunk_size: int) -> Iterator[bytes]:
        yield self.content[:chunk_size]


@pytest.mark.parametrize("response", [BrokenResponse, WrongResponse])
def test_a_download_that_failed_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, response: type[BrokenResponse]
) -> None:
    monkeypatch.setenv("MATMINER_DATA", str(tmp_path))
    monkeypatch.setattr(utils.requests, "get", lambda *_, **__: response())
    with pytest.raises(DataError, match="cannot be downloaded"):
        open_source(data("matbench:phonons"), data_root=None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_broke_off_is_refused(cached: Path) -> None:
    cached.write_bytes(cached.read_bytes()[:-200])
    with pytest.raises(DataError, match="is damaged or not matminer's format"):
        list(open_source(data("matbench:phonons"), data_root=None))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"columns": ["n"], "data": []}', b"[1, 2]"]
)
def test_a_file_in_another_format_is_refused(cached: Path, content: bytes) -> None:
    cached.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=r"is damaged or not matminer's format.*delete"):
        open_source(data("matbench:phonons"), data_root=None)


def test_a_file_without_the_task_s_columns_is_refused(cached: Path) -> None:
    frame = pd.DataFrame({"structure": [1] * 5, "n": [1.0] * 5})
    store_dataframe_as_json(frame, str(cached), compression="gz", pbar=False)
    with pytest.raises(DataError, match="no column 'last phdos peak'; it has struct"):
        open_source(data("matbench:phonons"), data_root=None)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("phonon", "did you mean 'phonons'"),
        ("mp_is_metal", "classification and composition tasks are not supported"),
        ("steels", "no regression task on crystal structures"),
    ],
)
def test_a_task_that_is_not_supported_is_refused(task: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_source(data(f"matbench:{task}"), data_root=None)


@pytest.mark.parametrize("task", TASKS)
def test_the_columns_of_the_tasks_are_matminer_s(task: str) -> None:
    info = get_all_dataset_info(task)
    assert f"{TASKS[task]}: Target variable" in info
    assert "structure: Pymatgen Structure" in info
