"""`sitenet search sync`: MLflow from the journal alone, whatever was lost there."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from support.readme_keys import check_keys
from support.tracked_studies import ToyStudy, empty_store, purge_run

from search.cli.main import main
from search.journal.events import SessionStarted
from search.study import StudyFolder, study_lock, sync_study
from search.tracking import Written
from search.tracking.store import MlflowStore
from search.trial.outcome import Outcome
from sitenet_core.errors import InfrastructureError, StudyInUseError


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyStudy:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    study = ToyStudy(tmp_path / "studies" / "toy-study")
    empty_store(study.folder.parent)
    study.complete(0)
    study.start(1)
    study.epoch(1, 1)
    study.finish(1, Outcome.FAILED_NAN, epoch=1)
    study.start(2)
    study.epoch(2, 1)
    study.end("interrupted")
    return study


def sync(study: ToyStudy) -> Written:
    return sync_study(StudyFolder(study.folder)).written


def store_uri(study: ToyStudy) -> str:
    return f"sqlite:///{study.folder.parent / 'mlflow.db'}"


def client(study: ToyStudy) -> MlflowClient:
    return MlflowStore(store_uri(study)).client


def runs(study: ToyStudy) -> dict[str, Run]:
    """Return the active runs of the study by key."""
    found = client(study).get_experiment_by_name("toy-study")
    assert found is not None
    listed = client(study).search_runs([found.experiment_id])
    by_key = {run.data.tags["sitenet.key"]: run for run in listed}
    assert len(by_key) == len(listed), "a run exists twice"
    return by_key


def content(study: ToyStudy) -> dict[str, Any]:
    """Return what MLflow shows, without the ids that it made up."""
    whole = {}
    for key, run in runs(study).items():
        history = {
            name: sorted(
                (p.step, p.value, p.timestamp)
                for p in client(study).get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        }
        tags = {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")}
        files = [f.path for f in client(study).list_artifacts(run.info.run_id)]
        status = run.info.status, run.info.start_time, run.info.end_time
        whole[key] = (status, run.data.params, tags, history, sorted(files))
    return whole


def nothing_but(written: Written, **expected: int) -> bool:
    return written == Written(**{"unchanged": 4, **expected})


def test_an_empty_store_gets_everything_and_a_second_sync_writes_nothing(
    study: ToyStudy,
) -> None:
    first = sync(study)
    assert (first.created, first.unchanged, first.artifacts) == (4, 0, 2)
    assert first.points > 10
    assert set(runs(study)) == {"study", "trial-00000", "trial-00001", "trial-00002"}
    before = content(study)
    assert nothing_but(sync(study))
    assert content(study) == before


def test_deleted_runs_come_back_under_their_own_ids(study: ToyStudy) -> None:
    sync(study)
    before, ids = content(study), {k: r.info.run_id for k, r in runs(study).items()}
    for key in ("study", "trial-00001"):
        client(study).delete_run(ids[key])
    assert nothing_but(sync(study), unchanged=2, restored=2)
    assert content(study) == before
    assert {k: r.info.run_id for k, r in runs(study).items()} == ids


def test_a_deleted_experiment_comes_back(study: ToyStudy) -> None:
    sync(study)
    before = content(study)
    found = client(study).get_experiment_by_name("toy-study")
    assert found is not None
    client(study).delete_experiment(found.experiment_id)
    assert sync(study).created == 0
    assert content(study) == before


def parents(study: ToyStudy) -> set[str | None]:
    """Return the ids that the children name as their parent."""
    children = (run for key, run in runs(study).items() if key != "study")
    return {run.data.tags.get("mlflow.parentRunId") for run in children}


def test_trials_and_models_follow_the_parent_run_that_replaces_a_purged_one(
    study: ToyStudy,
) -> None:
    study.promote("salts")
    sync(study)
    before, gone = content(study), runs(study)["study"].info.run_id
    purge_run(store_uri(study), gone)
    written = sync(study)
    assert (written.created, written.updated, written.unchanged) == (1, 4, 0)
    assert parents(study) == {runs(study)["study"].info.run_id}
    assert content(study) == before
    assert sync(study) == Written(unchanged=5)


@pytest.mark.parametrize("to", [None, "somebody else"])
def test_a_child_that_was_moved_comes_back_below_its_study(
    study: ToyStudy, to: str | None
) -> None:
    sync(study)
    expected, child = parents(study), runs(study)["trial-00001"].info.run_id
    if to is None:
        client(study).delete_tag(child, "mlflow.parentRunId")
    else:
        client(study).set_tag(child, "mlflow.parentRunId", to)
    assert nothing_but(sync(study), unchanged=3, updated=1)
    assert parents(study) == expected


def lose_metrics(study: ToyStudy) -> None:
    with sqlite3.connect(study.folder.parent / "mlflow.db") as database:
        database.execute("DELETE FROM metrics WHERE key = 'val_mae' AND step = 2")


def lose_params(study: ToyStudy) -> None:
    with sqlite3.connect(study.folder.parent / "mlflow.db") as database:
        database.execute("DELETE FROM params WHERE key = 'model.pooling'")


def lose_tags(study: ToyStudy) -> None:
    with sqlite3.connect(study.folder.parent / "mlflow.db") as database:
        database.execute("UPDATE tags SET value = '?' WHERE key = 'outcome'")


def lose_status(study: ToyStudy) -> None:
    with sqlite3.connect(study.folder.parent / "mlflow.db") as database:
        database.execute("UPDATE runs SET status = 'RUNNING'")


def lose_files(study: ToyStudy) -> None:
    for file in study.folder.parent.rglob("mlartifacts/**/weights.safetensors"):
        file.unlink()


@pytest.mark.parametrize(
    "lose", [lose_metrics, lose_params, lose_tags, lose_status, lose_files]
)
def test_whatever_a_store_lost_it_gets_again(
    study: ToyStudy, lose: Callable[[ToyStudy], None]
) -> None:
    sync(study)
    before = content(study)
    lose(study)
    written = sync(study)
    assert written.updated >= 1
    assert written.created == written.restored == 0
    assert content(study) == before
    stored = list(study.folder.parent.rglob("mlartifacts/**/weights.safetensors"))
    assert len(stored) == 1
    assert nothing_but(sync(study))


def test_a_killed_driver_leaves_no_run_that_seems_to_run(study: ToyStudy) -> None:
    study.add(SessionStarted(session=2, host="here", pid=1))
    study.attempt(2, 2, from_epoch=1)
    sync(study)
    assert {r.info.status for r in runs(study).values()} == {
        "FINISHED",
        "FAILED",
        "KILLED",
    }


def test_digests_of_the_data_come_from_the_journal(study: ToyStudy) -> None:
    study.add(SessionStarted(session=2, host="h", pid=1, data_digest="d"))
    study.add(SessionStarted(session=3, host="h", pid=1, split_digest="s"))
    study.end()
    sync(study)
    for run in runs(study).values():
        assert run.data.tags["data_digest"] == "d"
        assert run.data.tags["split_digest"] == "s"


def test_a_study_that_runs_is_refused_and_left_alone(study: ToyStudy) -> None:
    with (
        study_lock(study.folder / "lock"),
        pytest.raises(StudyInUseError, match="in use by process"),
    ):
        sync(study)
    assert client(study).get_experiment_by_name("toy-study") is None


def test_a_store_that_is_away_is_an_error_here(
    study: ToyStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InfrastructureError, match=r"MLflow at http://127.0.0.1:1"):
        sync(study)


def test_the_command_says_what_it_did(
    study: ToyStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = str(study.folder.parent)
    assert main(["search", "sync", "toy-study", "--dir", directory]) == 0
    assert "4 made, 0 restored, 0 completed" in capsys.readouterr().out
    assert main(["search", "sync", "toy-study", "--dir", directory, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check_keys(document, "search sync")
    assert document["unchanged"] == 4
