"""A toy study, its folder and its store."""

from pathlib import Path

import pytest
from support.tracked_studies import ToyStudy, empty_store

from search.tracking import MlflowTracker


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyStudy:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return ToyStudy(tmp_path / "studies" / "toy-study")


@pytest.fixture
def uri(study: ToyStudy) -> str:
    return empty_store(study.folder.parent)


@pytest.fixture
def tracker(study: ToyStudy, uri: str) -> MlflowTracker:
    return MlflowTracker(uri, study.folder)
