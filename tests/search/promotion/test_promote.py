"""Promotion from end to end, on a real Site-Net with a few crystals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.promotable_study import crystals, make_study
from support.tracked_studies import empty_store

import search.promotion.networks as networks_module
import search.promotion.testing as testing_module
from search.journal import read_journal
from search.journal.events import (
    PromotionDivided,
    PromotionEpoch,
    PromotionTested,
)
from search.promotion import promote
from search.study import StudyFolder, study_summary
from search.tracking import MlflowStore, fetch_bundle, tracking_uri
from search.tracking.store import MlflowStore as Store
from sitenet_core.bundle import load_bundle, read_header
from sitenet_core.errors import (
    ConfigError,
    DataError,
    InfrastructureError,
    NonFiniteLossError,
    NoTrialSucceededError,
    SiteNetError,
)
from sitenet_core.predict.structures import predict_texts
from sitenet_core.training.curve import read_curve

ROOT = Path(__file__).resolve().parents[3]


class Promoted:
    """A study that was promoted once, to look at only."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self.result = promote(folder, threads=1)
        self.uri = tracking_uri(folder.path.parent)


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory, stores: Path) -> Promoted:
    folder = tmp_path_factory.mktemp("promoted")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SITENET_STORES", str(stores))
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        empty_store(folder / "studies")
        return Promoted(make_study(folder))


def names(folder: StudyFolder) -> list[str]:
    """Return the promotion's events without the epochs and how batches are divided."""
    entries = [entry.event for entry in read_journal(folder.journal)]
    return [
        f"{e.event}:{e.model}" if isinstance(e, PromotionTested) else e.event
        for e in entries
        if e.event.startswith("promotion")
        and not isinstance(e, PromotionEpoch | PromotionDivided)
    ]


def epochs(folder: StudyFolder, model: str = "winner") -> list[int]:
    """Return the epochs of a long training as they were journalled."""
    events = [entry.event for entry in read_journal(folder.journal)]
    return [
        e.epoch for e in events if isinstance(e, PromotionEpoch) and e.model == model
    ]


def weights(folder: StudyFolder) -> bytes:
    """Return the weights of the promoted model."""
    return (folder.promotion / "bundle" / "weights.safetensors").read_bytes()


def test_every_step_is_journalled_in_order_and_the_test_comes_last(
    promoted: Promoted,
) -> None:
    assert names(promoted.folder) == [
        "promotion_reruns",
        "promotion_started",
        "promotion_trained",
        "promotion_trained",
        "promotion_testing",
        "promotion_tested:winner",
        "promotion_tested:preset:test",
        "promotion_tested:composition",
        "promotion_tested:constant",
        "promotion_registered",
    ]
    assert epochs(promoted.folder) == [1, 2, 3]
    assert promoted.folder.state().ended == "promoted"


def test_the_table_holds_the_winner_and_every_reference(promoted: Promoted) -> None:
    models = {m.model: m for m in promoted.result.models}
    assert list(models) == ["winner", "preset:test", "composition", "constant"]
    assert all(m.test_mae is not None and m.test_mae > 0 for m in models.values())
    # Edges are 4, 4.2, ... 7 Å, so that the median is a poor but sane guess.
    constant = models["constant"].test_mae
    assert constant is not None
    assert 0.1 < constant < 3
    assert models["winner"].n_parameters == models["preset:test"].n_parameters
    table = (promoted.folder.promotion / "table.md").read_text()
    assert table.strip() == promoted.result.report()
    assert promoted.result.table() in table
    assert f"| constant | {constant:.4g} |" in table


def test_the_result_file_says_what_the_result_says(promoted: Promoted) -> None:
    text = (promoted.folder.promotion / "result.json").read_text()
    content = json.loads(text)
    assert content == json.loads(json.dumps(promoted.result.as_dict()))
    assert content["trial"] == 1
    assert content["registered"] == "models:/edges@champion"
    assert content["threads"] == 1
    assert content["n_test"] == 4
    assert "sitenet predict models:/edges@champion" in promoted.result.as_text()


def test_predictions_on_the_test_set_are_kept_and_give_the_error(
    promoted: Promoted,
) -> None:
    path = promoted.folder.promotion / "predictions" / "winner.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    split = json.loads(promoted.folder.split.read_text())
    assert [row[0] for row in rows] == split["test"]
    mean = sum(abs(float(target) - float(value)) for _, target, value in rows) / 4
    assert mean == pytest.approx(promoted.result.models[0].test_mae)


def test_the_bundle_carries_its_errors(promoted: Promoted) -> None:
    header = read_header(promoted.folder.promotion / "bundle")
    winner = promoted.result.models[0]
    assert header.metrics["test_mae"] == winner.test_mae
    assert header.metrics["val_mae"] == winner.val_mae
    assert header.data.source_digest == promoted.result.data_digest


def test_the_registered_version_says_what_a_user_must_know(promoted: Promoted) -> None:
    client = MlflowStore(promoted.uri).client
    version = client.get_model_version_by_alias("edges", "champion")
    tags, result = version.tags, promoted.result
    assert tags["unit"] == "Å"
    assert float(tags["test_mae"]) == result.models[0].test_mae
    assert tags["data_digest"] == result.data_digest
    assert tags["split_digest"] == result.split_digest
    assert json.loads(tags["configuration"])["optimizer.learning_rate"] == 2e-2
    run = client.get_run(str(version.run_id))
    assert run.data.metrics["test_mae"] == result.models[0].test_mae
    history = client.get_metric_history(str(version.run_id), "val_mae")
    assert [p.step for p in history] == [1, 2, 3]
    assert run.info.status == "FINISHED"
    assert run.data.tags["registered_model"] == "edges version 1"


def test_the_champion_predicts_from_cif_text_in_a_new_process_as_the_bundle_does(
    promoted: Promoted, tmp_path: Path
) -> None:
    texts = [one.to(fmt="cif") for one in crystals()[:2]] + ["no crystal"]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    program = (
        "import json, mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri({promoted.uri!r})\n"
        "model = mlflow.pyfunc.load_model('models:/edges@champion')\n"
        "cif = json.load(open('texts.json'))\n"
        "table = model.predict(pd.DataFrame({'id': ['a', 'b', 'c'], 'cif': cif}))\n"
        "print(table.to_json(orient='values', double_precision=15))\n"
    )
    environment = {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | environment,
    )
    rows = json.loads(done.stdout)
    bundle = load_bundle(promoted.folder.promotion / "bundle")
    expected = list(predict_texts(bundle, zip("abc", texts, strict=True)))
    assert [row[0] for row in rows] == ["a", "b", "c"]
    for row, same in zip(rows[:2], expected[:2], strict=True):
        assert row[1] == pytest.approx(same.prediction, rel=1e-12)
        assert row[2:4] == ["Å", "ok"]
    assert rows[2][3] == "failed"


def test_the_fetched_bundle_is_the_promoted_one(promoted: Promoted) -> None:
    fetched = fetch_bundle("models:/edges@champion", promoted.uri)
    assert (fetched / "weights.safetensors").read_bytes() == weights(promoted.folder)


def test_every_network_in_mlflow_has_its_errors_in_its_bundle(
    promoted: Promoted, tmp_path: Path
) -> None:
    client = MlflowStore(promoted.uri).client
    experiment = client.get_experiment_by_name("tiny")
    for model in promoted.result.models[:2]:
        query = f"tags.`sitenet.key` = 'promotion-{model.model}'"
        (run,) = client.search_runs([experiment.experiment_id], query)
        folder = tmp_path / model.model.replace(":", "-")
        folder.mkdir()
        client.download_artifacts(run.info.run_id, "bundle", str(folder))
        assert read_header(folder / "bundle").metrics["test_mae"] == model.test_mae


def study_status(folder: StudyFolder) -> str:
    """Return the status of the study's parent run in MLflow."""
    client = MlflowStore(tracking_uri(folder.path.parent)).client
    experiment = client.get_experiment_by_name("tiny")
    query = "tags.`sitenet.key` = 'study'"
    (run,) = client.search_runs([experiment.experiment_id], query)
    return str(run.info.status)


@pytest.mark.parametrize(
    "end", [KeyboardInterrupt(), NonFiniteLossError("the loss is nan in epoch 2")]
)
def test_a_promotion_that_ends_early_says_nothing_of_the_search(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    def ending(*_: Any) -> None:
        raise end

    monkeypatch.setattr(networks_module, "fit", ending)
    with pytest.raises(type(end)):
        promote(study, threads=1)
    summary = study_summary(study)
    assert not summary.interrupted
    assert summary.as_dict()["ended"] == "trials"
    assert study_status(study) == "FINISHED"


def test_a_promotion_computes_where_the_trials_did(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def noticing(_config: Any, _data: Any, options: Any, _on_epoch: Any) -> None:
        seen.append(options.device)
        raise NonFiniteLossError("that is enough")

    monkeypatch.setattr(networks_module, "fit", noticing)
    for gpus in ("gpus: 0", "gpus: 0.5"):
        text = study.study_file.read_text()
        study.study_file.write_text(re.sub(r"gpus: .*", gpus, text))
        with pytest.raises(NonFiniteLossError):
            promote(study, threads=1)
    assert seen == ["cpu", "gpu"]


def test_the_forest_grows_on_the_promotions_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_store(tmp_path / "studies")
    study = make_study(tmp_path, epochs=1, references="composition")
    seen: list[Any] = []

    def noticing(_data: Any, _ids: Any, options: Any) -> None:
        seen.append(options)
        raise DataError("that is enough")

    monkeypatch.setattr(testing_module, "composition_baseline", noticing)
    promote(study, threads=2)
    assert [(options.seed, options.n_jobs) for options in seen] == [(7, 2)]


def test_a_second_promotion_returns_the_recorded_result_and_touches_nothing(
    promoted: Promoted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("must not be called again")

    for module, name in (
        (networks_module, "fit"),
        (testing_module, "evaluate"),
        (testing_module, "constant_baseline"),
        (MlflowStore, "__init__"),
    ):
        monkeypatch.setattr(module, name, refused)
    before = promoted.folder.journal.read_bytes()
    assert promote(promoted.folder) == promoted.result
    assert promoted.folder.journal.read_bytes() == before


class Killed(BaseException):
    """The driver died."""


def test_a_killed_training_goes_on_and_ends_with_the_same_bits(
    study: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = networks_module.fit

    def dying(config: Any, data: Any, options: Any, on_epoch: Any) -> Any:
        def die_in_the_second(record: Any) -> None:
            if record.epoch == 2:
                raise Killed  # its checkpoint is on disk, its event is not
            on_epoch(record)

        return fit(config, data, options, die_in_the_second)

    with monkeypatch.context() as patched:
        patched.setattr(networks_module, "fit", dying)
        with pytest.raises(Killed):
            promote(study, threads=1)
    assert epochs(study) == [1]
    result = promote(study, threads=1)
    assert sorted(epochs(study)) == [1, 2, 3]
    curve = read_curve(study.promotion / "curve.csv")
    whole_time = sum(record.seconds for record in curve)
    assert result.models[0].train_seconds == pytest.approx(whole_time)
    empty_store(tmp_path / "whole" / "studies")
    whole = make_study(tmp_path / "whole", references="constant")
    promote(whole, threads=1)
    assert weights(study) == weights(whole)


def test_a_kill_between_two_tests_repeats_neither_training_nor_test(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(testing_module, "constant_baseline", dying)
        with pytest.raises(Killed):
            promote(study, threads=1)
    calls: list[Path] = []
    evaluate = testing_module.evaluate

    def counted(bundle: Any, *arguments: Any) -> Any:
        calls.append(bundle.folder)
        return evaluate(bundle, *arguments)

    monkeypatch.setattr(testing_module, "evaluate", counted)
    monkeypatch.setattr(networks_module, "fit", dying)
    result = promote(study, threads=1)
    assert calls == []
    assert names(study).count("promotion_testing") == 1
    assert names(study).count("promotion_tested:winner") == 1
    assert result.registered == "models:/edges@champion"


def test_without_mlflow_all_is_done_but_the_registration_which_is_made_up_for(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise InfrastructureError("MLflow is away")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "__init__", away)
        with pytest.raises(InfrastructureError, match="sitenet promote tiny") as raised:
            promote(study, threads=1)
    assert raised.value.exit_code == 5
    recorded = json.loads((study.promotion / "result.json").read_text())
    assert recorded["registered"] is None
    assert recorded["models"][0]["test_mae"] > 0
    assert study.state().ended == "error"

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("must not be called again")

    monkeypatch.setattr(networks_module, "fit", refused)
    monkeypatch.setattr(testing_module, "evaluate", refused)
    result = promote(study, threads=1)
    assert result.registered_version == "1"
    client = MlflowStore(tracking_uri(study.path.parent)).client
    run_id = client.get_model_version_by_alias("edges", "champion").run_id
    history = client.get_metric_history(str(run_id), "val_mae")
    assert [p.step for p in history] == [1, 2, 3], "what was missed is caught up"


@pytest.mark.parametrize("kind", [NonFiniteLossError, DataError, ConfigError])
def test_a_reference_that_fails_is_a_row_and_the_winner_goes_on(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, kind: type[SiteNetError]
) -> None:
    fit = networks_module.fit

    def failing(config: Any, data: Any, options: Any, on_epoch: Any) -> Any:
        if "references" in str(options.folder):
            raise kind("the loss is nan in epoch 2")
        return fit(config, data, options, on_epoch)

    def without(*_: Any) -> None:
        raise kind("there is no such table")

    monkeypatch.setattr(networks_module, "fit", failing)
    monkeypatch.setattr(testing_module, "constant_baseline", without)
    result = promote(study, threads=1)
    rows: dict[str, Any] = {m.model: m for m in result.models}
    assert rows["preset:test"].test_mae is None
    assert "nan in epoch 2" in rows["preset:test"].message
    assert "failed: the loss is nan in epoch 2" in result.table()
    assert rows["constant"].message == "there is no such table"
    assert rows["winner"].test_mae > 0
    assert result.registered is not None


def test_a_winner_that_fails_ends_the_promotion_before_the_test(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise NonFiniteLossError("the loss is nan in epoch 2")

    monkeypatch.setattr(networks_module, "fit", failing)
    with pytest.raises(NonFiniteLossError):
        promote(study, threads=1)
    assert names(study) == ["promotion_reruns", "promotion_started"]
    assert study.state().ended == "error"


def test_training_on_validation_too_takes_the_last_weights(tmp_path: Path) -> None:
    empty_store(tmp_path / "studies")
    study = make_study(
        tmp_path, train_on="train+validation", epochs=2, references="constant"
    )
    result = promote(study, threads=1)
    winner = result.models[0]
    assert (winner.epoch, winner.val_mae, result.n_train) == (2, None, 12)
    assert "val_mae" not in read_header(study.promotion / "bundle").metrics


def test_a_study_without_a_usable_trial_has_nothing_to_promote(
    study: StudyFolder,
) -> None:
    lines = study.journal.read_bytes().splitlines(keepends=True)
    study.journal.write_bytes(b"".join(lines[:2]))
    with pytest.raises(NoTrialSucceededError) as raised:
        promote(study)
    assert raised.value.exit_code == 4
    assert not study.promotion.exists()


@pytest.mark.slow
def test_a_driver_that_was_killed_for_good_repeats_at_most_one_epoch(
    tmp_path: Path,
) -> None:
    empty_store(tmp_path / "studies")
    study = make_study(tmp_path, epochs=40, references="constant")
    program = [sys.executable, "-m", "support.promotable_study", str(study.path)]
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with subprocess.Popen(program, env=os.environ | path) as driver:
        deadline = time.monotonic() + 120
        while len(epochs(study)) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        driver.send_signal(signal.SIGKILL)
    before = epochs(study)
    assert 5 <= len(before) < 40
    promote(study, threads=1)
    assert sorted(epochs(study)) == list(range(1, 41))
    assert epochs(study)[: len(before)] == before
