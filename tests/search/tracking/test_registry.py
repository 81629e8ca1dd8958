"""The registry: bundles become versions without a pickle, and come back as bundles."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.tracked_studies import ToyStudy, empty_store, toy_bundle

from search.journal.events import PromotionStarted, PromotionTrained
from search.tracking import (
    MlflowStore,
    MlflowTracker,
    RegisteredModel,
    Registration,
    fetch_bundle,
    probe,
    ui_command,
)
from sitenet_core.errors import ConfigError, InfrastructureError

TESTS = Path(__file__).resolve().parents[2]
CIF = "data_x\n_cell_length_a 1\n"


def promoted_study(folder: Path) -> ToyStudy:
    """Return a study whose promotion has started."""
    study = ToyStudy(folder / "studies" / "toy-study")
    study.complete(0)
    plan: dict[str, Any] = {
        "started": "2026-11-01T13:00:00.000+00:00",
        "models": {"winner": {"model.embedding_dim": 8, "model.pooling": None}},
    }
    study.add(PromotionStarted(trial=0, plan=plan))
    return study


@pytest.fixture
def study(tmp_path: Path) -> ToyStudy:
    return promoted_study(tmp_path)


@pytest.fixture
def uri(study: ToyStudy) -> str:
    return empty_store(study.folder.parent)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the store in which one model is registered, to look at only."""
    study = promoted_study(tmp_path_factory.mktemp("registered"))
    uri = empty_store(study.folder.parent)
    register(study, uri)
    return uri


def register(
    study: ToyStudy, uri: str, unit: str = "eV", name: str = "gap"
) -> RegisteredModel:
    """Register a bundle that differs with its unit, by a new tracker."""
    bundle = toy_bundle(study.folder / "promotion" / unit.replace("/", "-"), unit)
    registration = Registration(
        name=name,
        tags={"unit": unit, "split_digest": "12ab"},
        loader_module="support.toy_pyfunc",
    )
    tracker = MlflowTracker(uri, study.folder)
    return tracker.register(study.state, bundle, registration)


def test_a_registered_bundle_comes_back_byte_for_byte(
    study: ToyStudy, uri: str
) -> None:
    model = register(study, uri)
    assert model.uri == "models:/gap@champion"
    for name in (model.uri, "models:/gap/1"):
        fetched = fetch_bundle(name, uri)
        original = study.folder / "promotion" / "eV"
        assert {p.name: p.read_bytes() for p in fetched.iterdir()} == {
            p.name: p.read_bytes() for p in original.iterdir()
        }


def test_the_version_says_what_was_written_beside_it(registered: str) -> None:
    client = MlflowStore(registered).client
    version = client.get_model_version_by_alias("gap", "champion")
    assert version.tags["unit"] == "eV"
    assert version.tags["split_digest"] == "12ab"
    run = client.get_run(str(version.run_id))
    assert run.data.tags["promotion"] == "winner"
    assert run.data.params == {"model.embedding_dim": "8"}


def test_no_file_of_the_model_is_a_pickle(registered: str) -> None:
    model = fetch_bundle("models:/gap@champion", registered).parents[1]
    files = [p for p in model.rglob("*") if p.is_file()]
    assert {p.name for p in files} >= {"MLmodel", "bundle.json", "requirements.txt"}
    assert not [p for p in files if p.suffix in {".pkl", ".pickle", ".pt", ".bin"}]
    starts = {p.name: p.read_bytes()[:2] for p in files}
    assert not [name for name, start in starts.items() if start[:1] == b"\x80"]
    assert not [name for name, start in starts.items() if start == b"PK"]


def test_the_alias_moves_and_the_earlier_champion_stays(
    study: ToyStudy, uri: str
) -> None:
    assert register(study, uri).version == "1"
    assert register(study, uri, unit="eV/atom").version == "2"
    champion = fetch_bundle("models:/gap@champion", uri)
    assert "eV/atom" in (champion / "bundle.json").read_text()
    assert (
        "eV/atom"
        not in (fetch_bundle("models:/gap/1", uri) / "bundle.json").read_text()
    )


def test_registering_the_same_bundle_again_makes_no_version(
    study: ToyStudy, uri: str
) -> None:
    assert [register(study, uri).version for _ in range(2)] == ["1", "1"]


def test_a_registered_model_predicts_from_cif_text_in_a_new_process(
    registered: str, tmp_path: Path
) -> None:
    program = (
        "import mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri({registered!r})\n"
        "model = mlflow.pyfunc.load_model('models:/gap@champion')\n"
        f"table = model.predict(pd.DataFrame({{'cif': [{CIF!r}]}}))\n"
        "print(table.to_csv(index=False))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(TESTS), "PATH": "", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert done.stdout.split() == ["id,prediction,unit,status,reason", "0,2.0,eV,ok,"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gap", "is not a registered model: write models:/NAME@champion"),
        ("models:/gap/latest", "is not a registered model"),
        (
            "models:/gapp@champion",
            "no model 'gapp' is registered .* did you mean 'gap'",
        ),
        (
            "models:/gap@best",
            "no such version or alias .versions: 1; aliases: champion",
        ),
        ("models:/gap/7", "no such version or alias .versions: 1; aliases: champion"),
    ],
)
def test_a_model_that_is_not_there_is_explained(
    registered: str, model: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fetch_bundle(model, registered)


def test_a_store_that_is_not_there_is_explained_and_not_made(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(ConfigError, match=r"there is no MLflow store at .*--dir"):
        fetch_bundle("models:/gap@champion", uri)
    assert list(tmp_path.iterdir()) == []


def test_files_that_vanished_or_shrank_are_reported_as_such(
    study: ToyStudy, uri: str
) -> None:
    model = fetch_bundle(register(study, uri).uri, uri).parents[1]
    (model / "data" / "eV" / "weights.safetensors").write_bytes(b"\0" * 5)
    with pytest.raises(InfrastructureError, match=r"weights.* .5 bytes in place of 16"):
        fetch_bundle("models:/gap@champion", uri)
    (model / "MLmodel").unlink()
    with pytest.raises(
        InfrastructureError, match=r"MLmodel .missing.*`sitenet search sync NAME` puts"
    ):
        fetch_bundle("models:/gap@champion", uri)


def test_a_version_that_does_not_say_its_files_is_fetched_as_it_is(
    study: ToyStudy, uri: str
) -> None:
    register(study, uri)
    MlflowStore(uri).client.delete_model_version_tag("gap", "1", "model_files")
    assert (fetch_bundle("models:/gap/1", uri) / "bundle.json").is_file()


def test_a_name_that_mlflow_refuses_is_a_mistake_of_the_study(
    study: ToyStudy, uri: str
) -> None:
    with pytest.raises(ConfigError, match="cannot name a registered model"):
        register(study, uri, name="a/b")


def test_the_run_of_the_winner_holds_its_bundle(study: ToyStudy, uri: str) -> None:
    toy_bundle(study.folder / "promotion" / "bundle", "eV")
    study.add(PromotionTrained(model="winner", bundle="promotion/bundle", metrics={}))
    register(study, uri)
    client = MlflowStore(uri).client
    version = client.get_model_version_by_alias("gap", "champion")
    paths = {f.path for f in client.list_artifacts(str(version.run_id))}
    assert "bundle" in paths
    assert [p for p in paths if p.startswith("model-")]


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the server keeps what it is given."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[str]:
    """Run an MLflow server that keeps artifacts to itself; yield its address."""
    studies = server_folder / "studies"
    command, environment = ui_command(empty_store(studies), free_port())
    at = command.index("--default-artifact-root")
    command[at : at + 2] = ["--artifacts-destination", str(studies / "artifacts")]
    address = f"http://127.0.0.1:{command[command.index('--port') + 1]}"
    with (server_folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=studies, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 60
            while probe(address) is not None and time.monotonic() < deadline:
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
def test_a_server_elsewhere_takes_studies_and_gives_models_back(
    server: str, study: ToyStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    register(study, server)
    fetched = [fetch_bundle("models:/gap@champion", server) for _ in range(2)]
    assert fetched[0] == fetched[1], "fetched once"
    assert fetched[0].is_relative_to(tmp_path / "home" / ".cache")
    original = study.folder / "promotion" / "eV"
    assert {p.name: p.read_bytes() for p in fetched[0].iterdir()} == {
        p.name: p.read_bytes() for p in original.iterdir()
    }
    client = MlflowStore(server).client
    run = client.get_model_version("gap", "1").run_id
    assert client.get_run(str(run)).data.tags["promotion"] == "winner"


def test_a_file_that_a_server_lost_is_named_and_put_back_and_fetched_again(
    server: str,
    server_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    study = ToyStudy(tmp_path / "promoted" / "salt-study", "salt-study")
    study.complete(0)
    study.end()
    study.promote("salts")
    tracker = MlflowTracker(server, study.folder)
    tracker.rebuild(study.state)
    (found,) = MlflowStore(server).client.search_model_versions("name = 'salts'")
    stored = server_folder.glob(f"studies/artifacts/*/{found.run_id}/**/model-*/**/*")
    (weights,) = (path for path in stored if path.name == "weights.safetensors")
    weights.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(InfrastructureError, match=r"0 bytes .*sync salt-study"):
            fetch_bundle("models:/salts@champion", server)
    repairs = tracker.rebuild(study.state).repairs
    assert len(repairs) == 1
    assert "weights.safetensors (0 bytes in place of 16)" in repairs[0]
    bundle = fetch_bundle("models:/salts@champion", server)
    assert (bundle / "weights.safetensors").stat().st_size == 16
    assert tracker.rebuild(study.state).repairs == []


def test_a_copy_that_was_fetched_meanwhile_stays_for_whoever_reads_it(
    server: str, study: ToyStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    name = register(study, server, name="shared").uri
    alone = MlflowStore.download
    others: list[tuple[Path, int]] = []

    def with_another(store: MlflowStore, uri: str, folder: Path | None) -> Path:
        monkeypatch.setattr(MlflowStore, "download", alone)
        bundle = fetch_bundle(name, server)
        others.append((bundle, (bundle / "bundle.json").stat().st_ino))
        return alone(store, uri, folder)

    monkeypatch.setattr(MlflowStore, "download", with_another)
    fetched = fetch_bundle(name, server)
    assert others == [(fetched, (fetched / "bundle.json").stat().st_ino)]
