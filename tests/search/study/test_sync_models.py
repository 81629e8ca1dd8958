"""`sitenet search sync` and registered models: versions, their files, their alias."""

import json
import shutil
from itertools import chain, repeat
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.tracked_studies import ToyStudy, empty_store

from search.cli.main import main
from search.journal import Clock, Journal
from search.journal.events import PromotionRegistered, SessionStarted
from search.promotion.ledger import Ledger
from search.study import StudyFolder, sync_study
from search.tracking import Written, fetch_bundle
from search.tracking.store import MlflowStore
from sitenet_core.errors import InfrastructureError


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyStudy:
    """Return a study whose only trial was promoted."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    study = ToyStudy(tmp_path / "studies" / "toy-study")
    empty_store(study.folder.parent)
    study.complete(0)
    study.end()
    study.promote("salts")
    return study


def sync(study: ToyStudy) -> Written:
    return sync_study(StudyFolder(study.folder)).written


def store_uri(study: ToyStudy) -> str:
    return f"sqlite:///{study.folder.parent / 'mlflow.db'}"


def client(study: ToyStudy) -> MlflowClient:
    return MlflowStore(store_uri(study)).client


def test_a_registered_model_comes_back_and_no_later_champion_is_unseated(
    study: ToyStudy,
) -> None:
    assert sync(study).models == 1
    mlflow = client(study)
    first = mlflow.get_model_version_by_alias("salts", "champion")
    assert first.tags["unit"] == "eV"
    later = mlflow.create_model_version("salts", str(first.source))
    mlflow.set_registered_model_alias("salts", "champion", later.version)
    assert sync(study).models == 0
    mlflow.delete_model_version("salts", first.version)
    assert sync(study).models == 1
    champion = mlflow.get_model_version_by_alias("salts", "champion")
    assert champion.version == later.version
    assert len(mlflow.search_model_versions("name = 'salts'")) == 2
    for folder in study.folder.parent.glob("mlartifacts/**/model-*"):
        shutil.rmtree(folder)
    assert sync(study).models == 1
    assert sync(study) == Written(unchanged=3)


def second_version(study: ToyStudy) -> MlflowClient:
    """Return a client of a store in which the study's model is version 2 of two.

    The first is another study's.
    """
    other = ToyStudy(study.folder.parent / "other", "other")
    other.complete(0)
    other.end()
    other.promote("salts")
    sync(other)
    assert "version 2 (was version 1), since there was none" in sync(study).repairs[0]
    return client(study)


def registered_as(study: ToyStudy) -> tuple[str, str]:
    """Return the number of the version as `promote` states it, and as its run does."""
    last = Ledger(study.folder / "journal.jsonl").registered
    assert last is not None
    (run,) = client(study).search_runs(
        [client(study).get_experiment_by_name(study.name).experiment_id],
        "tags.promotion = 'winner'",
    )
    return last.version, run.data.tags["registered_model"].removeprefix(
        "salts version "
    )


def test_a_model_that_is_registered_again_has_its_new_number_everywhere(
    study: ToyStudy,
) -> None:
    mlflow = second_version(study)
    assert registered_as(study) == ("2", "2")
    mlflow.delete_registered_model("salts")
    written = sync(study)
    assert written.repairs == [
        "model salts: registered as version 1 (was version 2), since there was none",
        "model salts version 1: is champion again",
    ]
    assert registered_as(study) == ("1", "1")
    events = [e for e in study.state.promotion if isinstance(e, PromotionRegistered)]
    assert {(e.name, e.alias, e.tags["unit"]) for e in events} == {
        ("salts", "champion", "eV")
    }
    assert sync(study) == Written(unchanged=3)


def test_a_number_that_a_kill_kept_from_the_journal_is_journalled_by_the_next_sync(
    study: ToyStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_version(study).delete_registered_model("salts")

    def full(*_: object) -> None:
        raise InfrastructureError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", full)
        with pytest.raises(InfrastructureError, match="no space"):
            sync(study)
    assert sync(study).repairs == ["model salts: is version 1 (was version 2)"]
    assert registered_as(study) == ("1", "1")


def test_a_copy_of_a_version_is_not_taken_for_it(study: ToyStudy) -> None:
    sync(study)
    client(study).copy_model_version("models:/salts/1", "salts")
    assert sync(study) == Written(unchanged=3)


def test_a_number_that_is_journalled_after_a_kill_takes_no_time_of_the_session(
    study: ToyStudy,
) -> None:
    ticks = chain([100.0], repeat(107.0))
    study.journal.clock = Clock(monotonic=lambda: next(ticks))
    study.add(SessionStarted(session=3, host="h", pid=1))
    study.start(1)
    assert study.state.seconds == 7.0
    second_version(study)
    assert study.state.seconds == 7.0


def model_folder(study: ToyStudy) -> Path:
    """Return where the store keeps the files of the only version."""
    (folder,) = study.folder.parent.glob("mlartifacts/**/model-*")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


MODEL_FILES = [
    "MLmodel",
    "requirements.txt",
    "data/bundle/bundle.json",
    "data/bundle/weights.safetensors",
]


@pytest.mark.parametrize("how", ["missing", "3 bytes in place of"])
@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_lost_or_truncated_file_of_a_registered_model_is_put_back(
    study: ToyStudy, name: str, how: str
) -> None:
    sync(study)
    folder = model_folder(study)
    before = contents(folder)
    if how == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(before[name][:3])
    written = sync(study)
    assert written.models == 1
    (repair,) = written.repairs
    assert repair.startswith(f"model salts version 1: put back {name} ({how}")
    after = contents(folder)
    assert {k: v for k, v in after.items() if k != "MLmodel"} == {
        k: v for k, v in before.items() if k != "MLmodel"
    }
    assert len(after["MLmodel"]) == len(before["MLmodel"])
    bundle = fetch_bundle("models:/salts@champion", store_uri(study))
    assert contents(bundle) == contents(study.folder / "promotion/bundle")
    assert len(client(study).search_model_versions("name = 'salts'")) == 1
    assert sync(study) == Written(unchanged=3)


def test_files_of_a_registered_model_that_are_as_they_were_stay(
    study: ToyStudy,
) -> None:
    """The requirements of a model are not those of the day of its repair."""
    sync(study)
    folder = model_folder(study)
    pins = folder / "requirements.txt"
    recorded = client(study).get_model_version("salts", "1").tags["model_files"]
    sizes = json.loads(recorded)
    pins.write_text("torch==1.0\n")
    sizes["requirements.txt"] = pins.stat().st_size
    client(study).set_model_version_tag("salts", "1", "model_files", json.dumps(sizes))
    assert sync(study) == Written(unchanged=3)
    (folder / "data/bundle/weights.safetensors").unlink()
    assert len(sync(study).repairs) == 1
    assert pins.read_text() == "torch==1.0\n"


@pytest.mark.parametrize("tag", [None, "no json", "[]", '{"MLmodel": "big"}'])
def test_a_version_that_does_not_say_its_files_is_compared_with_new_ones(
    study: ToyStudy, tag: str | None
) -> None:
    sync(study)
    mlflow = client(study)
    said = mlflow.get_model_version("salts", "1").tags["model_files"]

    def forget() -> None:
        if tag is None:
            mlflow.delete_model_version_tag("salts", "1", "model_files")
        else:
            mlflow.set_model_version_tag("salts", "1", "model_files", tag)

    forget()
    assert sync(study) == Written(unchanged=3)
    assert mlflow.get_model_version("salts", "1").tags["model_files"] == said
    forget()
    weights = model_folder(study) / "data/bundle/weights.safetensors"
    weights.write_bytes(b"")
    assert "weights.safetensors (0 bytes in place of 16)" in sync(study).repairs[0]
    assert weights.stat().st_size == 16
    assert sync(study) == Written(unchanged=3)


def test_pins_of_a_version_that_does_not_say_its_files_are_those_of_its_day(
    study: ToyStudy,
) -> None:
    sync(study)
    mlflow = client(study)
    folder = model_folder(study)
    pins, weights = (
        folder / name
        for name in ("requirements.txt", "data/bundle/weights.safetensors")
    )
    for lost in (False, True):
        pins.write_text("torch==1.0\n")
        mlflow.delete_model_version_tag("salts", "1", "model_files")
        if lost:
            weights.unlink()
        assert [r.partition("put back ")[2] for r in sync(study).repairs] == (
            ["data/bundle/weights.safetensors (missing)"] if lost else []
        )
        assert weights.is_file()
        assert pins.read_text() == "torch==1.0\n"
        said = mlflow.get_model_version("salts", "1").tags["model_files"]
        assert json.loads(said) == {k: len(v) for k, v in contents(folder).items()}
    mlflow.delete_model_version_tag("salts", "1", "model_files")
    pins.unlink()
    assert "requirements.txt (missing)" in sync(study).repairs[0]
    assert "torch==" in pins.read_text()


def test_the_command_names_what_it_put_right(
    study: ToyStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(study)
    shutil.rmtree(model_folder(study) / "data")
    client(study).delete_registered_model_alias("salts", "champion")
    directory = str(study.folder.parent)
    assert main(["search", "sync", "toy-study", "--dir", directory]) == 0
    out = capsys.readouterr().out
    assert "model salts version 1: put back data/bundle/bundle.json (missing)" in out
    assert "model salts version 1: put back data/bundle/weights.safetensors" in out
    assert "model salts version 1: is champion again" in out
