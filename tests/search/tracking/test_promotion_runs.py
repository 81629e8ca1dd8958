"""The runs of a promotion: named and measured as the trials of the search are."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from support.tracked_studies import ToyStudy, empty_store

from search.journal.events import (
    Event,
    PromotionCandidate,
    PromotionEpoch,
    PromotionFailed,
    PromotionRegistered,
    PromotionRerun,
    PromotionReruns,
    PromotionStarted,
    PromotionTested,
    SessionStarted,
    rerun_model,
)
from search.tracking import MlflowTracker
from search.tracking.store import MlflowStore

STARTED = "2026-11-01T13:00:00.000+00:00"
METRICS = {"best_val_mae", "val_mae", "train_loss", "seconds"}
"""Of every run that trains; of the study, `best_val_mae` and counts."""


@pytest.fixture
def study(tmp_path: Path) -> ToyStudy:
    """Return a study with two trials, of which the first was promoted."""
    study = ToyStudy(tmp_path / "studies" / "toy-study")
    study.complete(0)
    study.complete(1)
    study.end()
    for event in promotion():
        study.add(event)
    study.end("promoted")
    return study


def promotion() -> list[Event]:
    """Return the events of a promotion with reruns, a winner and failed references."""
    candidates = [PromotionCandidate(trial=n, epoch=3, value=1 / 3 + n) for n in (0, 1)]
    plan: dict[str, Any] = {
        "started": STARTED,
        "models": {"winner": {"model.pooling": "mean"}, "constant": {}},
        "seed": 0,
    }
    tested: dict[str, float | int | None] = {"mae": 0.3, "rmse": 0.4, "n": 8}
    return [
        SessionStarted(session=2, host="h", pid=1, purpose="promotion"),
        PromotionReruns(
            started=STARTED,
            candidates=candidates,
            seeds=[1],
            folds=[],
            tie_within=0,
        ),
        *rerun(0, (0.5, 0.4, 0.45), 0.4),
        *rerun(1, (0.9,), None),
        PromotionStarted(trial=0, plan=plan),
        *epochs("winner", (0.3, 0.2, 0.25)),
        PromotionTested(model="winner", metrics=tested),
        PromotionFailed(model="constant", message="there is no such table"),
        PromotionRegistered(name="salts", version="1", alias="champion"),
    ]


def rerun(trial: int, values: tuple[float, ...], value: float | None) -> list[Event]:
    message = "" if value is not None else "the loss is nan"
    end = PromotionRerun(
        trial=trial,
        seed=1,
        value=value,
        seconds=1,
        epochs=len(values),
        message=message,
    )
    return [*epochs(rerun_model(trial, 1), values), end]


def epochs(model: str, values: tuple[float, ...]) -> list[Event]:
    return [
        PromotionEpoch(
            model=model,
            epoch=epoch,
            metrics={"val_mae": value, "train_loss": 0.1, "seconds": 1.0},
        )
        for epoch, value in enumerate(values, start=1)
    ]


def synced(study: ToyStudy, where: str = "") -> dict[str, Run]:
    """Return the runs of a store made anew, the best value first, by name."""
    uri = empty_store(study.folder.parent)
    MlflowTracker(uri, study.folder).rebuild(study.state)
    client = MlflowStore(uri).client
    found = client.get_experiment_by_name("toy-study")
    assert found is not None
    order = ["metrics.best_val_mae ASC"]
    listed = client.search_runs([found.experiment_id], where, order_by=order)
    return {str(run.info.run_name): run for run in listed}


def test_a_trial_its_reruns_and_the_long_training_share_a_filter_and_a_metric(
    study: ToyStudy,
) -> None:
    found = synced(study, "tags.trial = '0'")
    best = {name: run.data.metrics["best_val_mae"] for name, run in found.items()}
    assert list(best.items()) == [
        ("promotion: winner", 0.2),
        ("trial 0", 1 / 3),
        ("rerun: trial-00000-seed-1", 0.4),
    ]


def test_every_training_has_the_same_metrics_under_the_same_names(
    study: ToyStudy,
) -> None:
    names = {name: set(run.data.metrics) for name, run in synced(study).items()}
    assert names == {
        "toy-study": {
            "best_val_mae",
            "trials_ended",
            "trials_completed",
            "trials_stopped",
        },
        "trial 0": METRICS,
        "trial 1": METRICS,
        "rerun: trial-00000-seed-1": METRICS,
        "rerun: trial-00001-seed-1": METRICS,
        "promotion: winner": {*METRICS, "test_mae", "test_rmse", "n_test"},
        "promotion: constant": set(),
    }


def test_a_training_that_failed_is_a_failed_run_with_its_reason(
    study: ToyStudy,
) -> None:
    failed = synced(study, "attributes.status = 'FAILED'")
    assert {name: run.data.tags["message"] for name, run in failed.items()} == {
        "rerun: trial-00001-seed-1": "the loss is nan",
        "promotion: constant": "there is no such table",
    }


def test_seed_is_the_seed_of_a_training_and_not_that_of_the_search(
    study: ToyStudy,
) -> None:
    found = synced(study)
    seeds = {name: run.data.tags.get("seed") for name, run in found.items()}
    assert seeds["rerun: trial-00000-seed-1"] == "1"
    assert seeds["promotion: winner"] == "0"
    assert seeds["trial 0"] is None
    assert found["trial 0"].data.tags["algorithm.seed"] == "100"
