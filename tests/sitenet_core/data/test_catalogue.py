"""Where stores are, and what there is to list."""

from pathlib import Path

import pytest
from support.toy_store import ToySource, build_toy, toys

from sitenet_core.data import data_root, default_store_root, list_stores
from sitenet_core.errors import ConfigError


def test_damaged_folders_are_listed_beside_the_good_ones(tmp_path: Path) -> None:
    good = build_toy(tmp_path, ToySource(toys(3)))
    broken = build_toy(tmp_path, ToySource(toys(4))).path
    (broken / "ids.json").unlink()
    (tmp_path / "a file").write_text("")
    by_path = {summary.path: summary for summary in list_stores(tmp_path)}
    assert set(by_path) == {good.path, broken}
    header = by_path[good.path].header
    assert header == good.header
    assert header is not None
    assert header.bytes == sum(
        f.stat().st_size for f in good.path.iterdir() if f.name != "header.json"
    )
    assert by_path[good.path].problem is None
    assert by_path[broken].header is None
    assert "ids.json: is missing" in str(by_path[broken].problem)


def test_a_root_that_does_not_exist_has_no_stores(tmp_path: Path) -> None:
    assert list_stores(tmp_path / "none") == []


def test_the_store_root_is_the_environments_or_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SITENET_STORES", str(tmp_path / "stores"))
    assert default_store_root() == tmp_path / "stores"
    monkeypatch.delenv("SITENET_STORES")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_store_root() == tmp_path / ".cache" / "sitenet" / "stores"
    assert list(tmp_path.iterdir()) == []


def test_the_data_root_is_the_environments_or_the_shared_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SITENET_DATA", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert data_root() is None
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert data_root() == tmp_path / "shared" / "data"
    monkeypatch.setenv("SITENET_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.setenv("SITENET_DATA", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"SITENET_DATA=.*is not a folder"):
        data_root()
