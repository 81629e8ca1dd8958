"""Earlier studies as MLflow holds them."""

from pathlib import Path

import pytest
from support.tracked_studies import ToyStudy, empty_store

from search.tracking import MlflowTracker, experiment_studies
from search.tracking.points import Point
from search.tracking.store import MlflowStore
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError


@pytest.fixture
def uri(tmp_path: Path) -> str:
    (tmp_path / "studies").mkdir()
    return empty_store(tmp_path / "studies")


def test_a_study_comes_back_from_mlflow_as_it_was_tried(
    tmp_path: Path, uri: str
) -> None:
    study = ToyStudy(tmp_path / "studies" / "toy-study")
    for trial, outcome in enumerate((Outcome.COMPLETED, Outcome.FAILED_NAN)):
        study.start(trial)
        for epoch in (1, 2, 3):
            study.epoch(trial, epoch)
        study.finish(trial, outcome)
    MlflowTracker(uri, study.folder).sync(study.state, now=True)
    ((identity, records),) = experiment_studies(uri, "toy-study").items()
    assert identity.startswith("toy-study ")
    for record, original in zip(records, study.state.trials, strict=True):
        active = {k: v for k, v in original.configuration.items() if v is not None}
        assert record.configuration == active
        assert record.outcome is original.outcome
        assert record.epoch_values == original.epoch_values
    assert records[0].rung_values == {3: original_best(study)}


def original_best(study: ToyStudy) -> float:
    return min(study.state.trials[0].epoch_values.values())


def test_runs_of_others_count_by_their_metric(tmp_path: Path, uri: str) -> None:
    store = MlflowStore(uri)
    experiment = store.experiment("notebook", tmp_path.as_uri())
    for value in (0.3, 0.2):
        run = store.create_run(experiment, "try", 0, {})
        points = [Point("val_mae", value, 5, 1)]
        store.log(run.run_id, points, {"optimizer.learning_rate": "0.01"})
        store.set_status(run.run_id, "FINISHED", 2)
    ((name, records),) = experiment_studies(uri, "notebook").items()
    assert name == "notebook"
    assert {r.value for r in records} == {0.2, 0.3}
    assert records[0].configuration == {"optimizer.learning_rate": 0.01}


def test_an_experiment_that_is_not_there_is_said_and_not_made(uri: str) -> None:
    with pytest.raises(ConfigError, match="no experiment 'gone'"):
        experiment_studies(uri, "gone")
    assert MlflowStore(uri).find_experiment("gone") is None
