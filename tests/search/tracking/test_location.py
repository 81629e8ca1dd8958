"""Where MLflow's store lies, and how its UI is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from search.tracking import MlflowStore, probe, tracking_uri, ui_command
from search.tracking.location import artifact_root, quiet_environment
from search.tracking.store import displayed
from sitenet_core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_default_store_is_a_sqlite_file_among_the_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(Path("studies")) == f"sqlite:///{tmp_path}/studies/mlflow.db"


def test_the_environment_names_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri(tmp_path) == "http://tracking:5000"


@pytest.mark.parametrize("uri", ["file:///data/mlruns", "/data/mlruns", "mlruns"])
def test_a_folder_is_refused_as_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match="not in a folder; unset"):
        tracking_uri(tmp_path)


def test_artifacts_lie_beside_the_database_and_a_server_keeps_its_own(
    tmp_path: Path,
) -> None:
    uri = f"sqlite:///{tmp_path}/a b/mlflow.db"
    assert artifact_root(uri, tmp_path) == f"{tmp_path.as_uri()}/a%20b/mlartifacts"
    assert artifact_root("http://tracking:5000", tmp_path) is None
    database = "postgresql+psycopg2://u:p@host/db"
    assert artifact_root(database, tmp_path) == f"{tmp_path.as_uri()}/mlartifacts"


def test_the_ui_serves_the_store_on_this_machine_only(tmp_path: Path) -> None:
    uri = tracking_uri(tmp_path)
    command, environment = ui_command(uri, 5050)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    assert command[command.index("--backend-store-uri") + 1] == uri
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5050"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_ui_of_a_running_server_is_at_its_own_address() -> None:
    with pytest.raises(ConfigError, match="open http://tracking:5000 in a browser"):
        ui_command("http://tracking:5000", 5000)


def test_limits_that_the_user_has_set_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    assert quiet_environment()["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


def test_probing_makes_nothing_and_tells_what_is_wrong(tmp_path: Path) -> None:
    uri = tracking_uri(tmp_path)
    assert probe(uri) is None
    assert list(tmp_path.iterdir()) == []
    MlflowStore(uri)
    assert probe(uri) is None
    (tmp_path / "other.db").write_text("this is no database, but long enough" * 99)
    problem = probe(f"sqlite:///{tmp_path / 'other.db'}")
    assert problem is not None
    assert "not a database" in problem


def test_a_password_is_not_shown() -> None:
    assert displayed("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"


def test_importing_the_package_does_not_import_mlflow() -> None:
    program = "import sys, search.tracking; print('mlflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"


def test_a_new_store_is_made_without_a_word_and_without_mlruns(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'with space' / 'mlflow.db'}"
    program = (
        "import logging; logging.basicConfig(level=logging.WARNING)\n"
        "from search.tracking import MlflowStore\n"
        f"store = MlflowStore({uri!r})\n"
        "store.create_run(store.experiment('x', None), 'run', 0, {})\n"
    )
    (tmp_path / "cwd").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path / "cwd",
        env={"PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "with space" / "mlflow.db").is_file()
    assert list((tmp_path / "cwd").iterdir()) == []
