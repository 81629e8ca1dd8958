"""Studies to promote; their packed stores are shared by all tests of a session."""

from pathlib import Path

import pytest
from support.promotable_study import make_study
from support.tracked_studies import empty_store

from search.study import StudyFolder


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, stores: Path) -> None:
    monkeypatch.setenv("SITENET_STORES", str(stores))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """Return a searched study with cheap references and an empty MLflow store."""
    empty_store(tmp_path / "studies")
    return make_study(tmp_path, references="preset:test, constant")
