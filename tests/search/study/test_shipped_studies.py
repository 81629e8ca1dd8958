"""Studies that come with the package are found by name."""

from pathlib import Path

import pytest

from search.space import spaces_root
from search.study import RunOptions, load_study, run_study
from search.study.shipped import shipped_studies, shipped_study
from sitenet_core.errors import ConfigError


def test_every_shipped_study_loads_under_its_own_name() -> None:
    for name in shipped_studies():
        file = shipped_study(name)
        assert file is not None
        assert load_study(file).config.name == name


def test_an_installed_study_is_found_beside_the_installed_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "quickstart" / "study.yaml"
    installed.parent.mkdir()
    installed.touch()
    monkeypatch.setattr("search.study.shipped.spaces_root", lambda: tmp_path / "spaces")
    assert shipped_study("quickstart") == installed


def test_other_names_are_no_shipped_studies(tmp_path: Path) -> None:
    assert spaces_root().is_dir()
    assert shipped_study("../quickstart") is None
    with pytest.raises(ConfigError, match=r"shipped study \(quickstart\)"):
        run_study("quick", RunOptions(directory=tmp_path))
