"""The tracker: MLflow shows what the journal says, once, whatever happens between."""

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from support.tracked_studies import (
    CONFIGURATION,
    ToyStudy,
    empty_store,
    purge_run,
    runs,
)

from search.journal.events import SegmentFinished, TrialFinished
from search.journal.records import objective_at
from search.tracking import MlflowTracker
from search.tracking.store import MlflowStore
from search.trial.outcome import Outcome
from sitenet_core.errors import InfrastructureError


def content(uri: str) -> dict[str, Any]:
    """Return everything MLflow holds of the study but ids that it made up."""
    client = MlflowStore(uri).client
    whole = {}
    for key, run in runs(uri).items():
        points = {
            name: sorted(
                (p.step, p.value, p.timestamp)
                for p in client.get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        }
        own = {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")}
        times = run.info.start_time, run.info.end_time
        files = sorted(f.path for f in client.list_artifacts(run.info.run_id))
        whole[key] = (run.info.status, times, run.data.params, own, points, files)
    return whole


def test_a_trial_is_a_child_of_the_study_with_its_parameters_and_curve(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.complete(0)
    tracker.sync(study.state)
    found = runs(uri)
    parent, child = found["study"], found["trial-00000"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {
        "model.attention_weights.depth": "0",
        "model.embedding_dim": "8",
        "model.pooling": "mean",
        "optimizer.learning_rate": repr(CONFIGURATION["optimizer.learning_rate"]),
    }
    history = MlflowClient(uri).get_metric_history(child.info.run_id, "val_mae")
    assert [(p.step, p.value) for p in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert child.data.metrics["train_loss"] == pytest.approx(0.3)
    assert (child.info.status, child.data.tags["outcome"]) == ("FINISHED", "completed")
    assert child.data.tags["algorithm.seed"] == "100"


def history(uri: str, key: str, metric: str) -> dict[int, float]:
    """Return step → value of one metric of one run."""
    store = MlflowStore(uri)
    run = runs(uri)[key]
    points = store.client.get_metric_history(run.info.run_id, metric)
    return {p.step: p.value for p in points}


def test_a_trial_shows_its_best_value_at_every_epoch(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    values = {1: 0.9, 2: 0.4, 3: 0.6}
    study.start(0)
    for epoch, value in values.items():
        study.epoch(0, epoch, value=value)
        tracker.sync(study.state)
    study.finish(0, Outcome.COMPLETED)
    study.end()
    tracker.sync(study.state)
    assert history(uri, "trial-00000", "best_val_mae") == {
        epoch: objective_at(values, epoch) for epoch in values
    }
    found = runs(uri)
    best = {k: run.data.metrics["best_val_mae"] for k, run in found.items()}
    assert best == {"study": 0.4, "trial-00000": 0.4}
    assert study.state.trials[0].value == 0.4


def test_trials_are_sorted_by_their_best_value_and_filtered_by_their_state(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    lowest = {0: 0.5, 1: 0.1, 2: 0.3, 3: 0.2}
    outcomes = {1: Outcome.FAILED_NAN, 3: Outcome.STOPPED}
    for trial, value in lowest.items():
        study.start(trial)
        study.epoch(trial, 1, value=value)
        study.epoch(trial, 2, value=value + 1)
        study.finish(trial, outcomes.get(trial, Outcome.COMPLETED), epoch=2)
    tracker.sync(study.state)
    client = MlflowStore(uri).client
    found = client.get_experiment_by_name("toy-study")
    assert found is not None

    def trials(where: str) -> list[str]:
        order = ["metrics.best_val_mae ASC"]
        listed = client.search_runs([found.experiment_id], where, order_by=order)
        return [run.data.tags["trial"] for run in listed]

    assert trials("tags.outcome = 'completed'") == ["2", "0"]
    assert trials("attributes.status = 'FINISHED'") == ["3", "2", "0"]
    assert trials("attributes.status = 'FAILED'") == ["1"]


def test_the_best_value_of_a_level_owes_nothing_to_the_level_before(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.start(0)
    for begins_after, values in ((0, (0.1, 0.2)), (2, (0.8, 0.7)), (4, (0.5, 0.6))):
        attempt = 1 + begins_after // 2
        if begins_after:
            study.attempt(
                0, attempt, from_epoch=begins_after, begins_after=begins_after
            )
        for epoch, value in enumerate(values, start=begins_after + 1):
            study.epoch(0, epoch, attempt=attempt, value=value)
            tracker.sync(study.state)
        end = begins_after + 2
        study.add(
            SegmentFinished(trial=0, attempt=attempt, epoch=end, checkpoint="last.ckpt")
        )
    study.end()
    tracker.sync(study.state)
    best = {1: 0.1, 2: 0.1, 3: 0.8, 4: 0.7, 5: 0.5, 6: 0.5}
    assert history(uri, "trial-00000", "best_val_mae") == best
    record = study.state.trials[0]
    assert dict(record.rung_values) == {rung: best[rung] for rung in (2, 4, 6)}
    assert runs(uri)["trial-00000"].data.metrics["best_val_mae"] == record.value


def test_what_a_lost_attempt_reached_hides_nothing_of_the_next_one(
    study: ToyStudy, tracker: MlflowTracker, uri: str, tmp_path: Path
) -> None:
    study.start(0)
    for epoch in (1, 2, 3):
        study.epoch(0, epoch, seconds=9.0, value=0.1)
    tracker.sync(study.state)
    study.attempt(0, 2)
    for epoch in (1, 2):
        study.epoch(0, epoch, attempt=2, value=0.5 + 1 / epoch)
    study.finish(0, Outcome.STOPPED, epoch=2)
    study.end()
    tracker.sync(study.state)
    fresh = empty_store(tmp_path / "rebuilt")
    MlflowTracker(fresh, study.folder).rebuild(study.state)
    live, rebuilt = (runs(u)["trial-00000"].data.metrics for u in (uri, fresh))
    assert live == rebuilt
    assert live["best_val_mae"] == 1.0
    assert MlflowTracker(uri, study.folder).rebuild(study.state).points == 0


def test_the_bundle_and_the_resolved_study_are_artifacts(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.complete(0)
    tracker.sync(study.state)
    found, client = runs(uri), MlflowClient(uri)
    bundle = client.list_artifacts(found["trial-00000"].info.run_id, "bundle")
    assert {Path(f.path).name for f in bundle} == {"bundle.json", "weights.safetensors"}
    top = client.list_artifacts(found["study"].info.run_id)
    assert [f.path for f in top] == ["study.yaml"]
    stored = list((study.folder.parent / "mlartifacts").rglob("weights.safetensors"))
    assert len(stored) == 1


def test_nothing_is_left_in_the_working_directory(
    study: ToyStudy, tracker: MlflowTracker
) -> None:
    study.complete(0)
    tracker.sync(study.state)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.FAILED_OOM, "FAILED"),
        (Outcome.FAILED_DATA, "FAILED"),
        (Outcome.CANCELLED, "KILLED"),
        (Outcome.STOPPED, "FINISHED"),
    ],
)
def test_every_outcome_has_its_status_and_its_own_word(
    study: ToyStudy, tracker: MlflowTracker, uri: str, outcome: Outcome, status: str
) -> None:
    study.start(0)
    study.epoch(0, 1)
    study.finish(0, outcome, epoch=1)
    tracker.sync(study.state)
    run = runs(uri)["trial-00000"]
    assert (run.info.status, run.data.tags["outcome"]) == (status, outcome.value)
    if outcome.is_failure:
        assert run.data.tags["message"] == "out of memory"


def test_an_unfinished_trial_runs_only_while_its_driver_does(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.start(0)
    study.epoch(0, 1)
    tracker.sync(study.state)
    assert {r.info.status for r in runs(uri).values()} == {"RUNNING"}
    study.end("interrupted")
    tracker.sync(study.state)
    assert {r.info.status for r in runs(uri).values()} == {"KILLED"}


def test_syncing_after_every_event_gives_the_same_as_syncing_once(
    study: ToyStudy, tracker: MlflowTracker, uri: str, tmp_path: Path
) -> None:
    add = study.add

    def add_and_sync(event: Any) -> None:
        add(event)
        tracker.sync(study.state)
        tracker.sync(study.state)

    study.add = add_and_sync  # type: ignore[method-assign]
    study.complete(0)
    study.start(1)
    study.finish(1, Outcome.FAILED_OOM, epoch=0)
    study.end()
    fresh = empty_store(tmp_path / "rebuilt")
    MlflowTracker(fresh, study.folder).sync(study.state)
    assert content(uri) == content(fresh)


class Killed(BaseException):
    """The driver died."""


WRITES = ("create_run", "log_batch", "log_artifacts", "log_artifact", "set_terminated")


@pytest.mark.parametrize("method", WRITES)
def test_a_driver_killed_around_any_write_leaves_no_duplicate_and_no_gap(
    study: ToyStudy, uri: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    study.complete(0)
    study.start(1)
    study.epoch(1, 1)
    study.end("interrupted")
    whole = empty_store(study.folder.parent / "whole")
    MlflowTracker(whole, study.folder).sync(study.state)
    kills = 0
    for after in range(100):
        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, method, _deadly(method, after))
            try:
                MlflowTracker(uri, study.folder).sync(study.state)
            except Killed:
                kills += 1
                continue
        break
    assert kills >= 1
    expected, found = content(whole), content(uri)
    assert found == expected


def _deadly(method: str, after: int) -> Callable[..., Any]:
    """Return the method, which dies after it has written for the `after`-th time."""
    real = getattr(MlflowClient, method)
    calls = 0

    def write(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        result = real(*arguments, **named)
        if calls == after:
            raise Killed
        calls += 1
        return result

    return write


def test_epochs_of_a_lost_attempt_give_way_to_those_of_the_next(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.start(0)
    study.epoch(0, 1)
    study.epoch(0, 2)
    tracker.sync(study.state)
    study.attempt(0, 2, from_epoch=1)
    study.epoch(0, 2, attempt=2, seconds=9.0)
    tracker.sync(study.state)
    run, client = runs(uri)["trial-00000"], MlflowClient(uri)
    assert run.data.metrics["seconds"] == 9.0
    history = client.get_metric_history(run.info.run_id, "val_mae")
    assert [p.step for p in history if p.step == 1] == [1]
    assert run.data.tags["attempts"] == "2"


def test_two_studies_of_one_name_on_one_server_stay_apart(
    tmp_path: Path,
) -> None:
    uri = empty_store(tmp_path)
    studies = [ToyStudy(tmp_path / place / "toy-study") for place in ("a", "b")]
    studies[1].end()
    for study in studies:
        study.complete(0)
        MlflowTracker(uri, study.folder).sync(study.state)
    client = MlflowStore(uri).client
    found = client.get_experiment_by_name("toy-study")
    assert found is not None
    parents = {
        run.data.tags["mlflow.parentRunId"]
        for run in client.search_runs([found.experiment_id])
        if run.data.tags["sitenet.key"] != "study"
    }
    assert len(parents) == 2


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_server_that_is_away_is_a_warning_and_no_error(
    study: ToyStudy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    study.complete(0)
    now = [0.0]
    tracker = MlflowTracker(
        f"http://127.0.0.1:{closed_port()}", study.folder, clock=lambda: now[0]
    )
    with caplog.at_level(logging.WARNING, logger="search.tracking.tracker"):
        tracker.sync(study.state)
        now[0] += 31
        tracker.sync(study.state)
        assert len(caplog.messages) == 1, "one warning, not one per event"
        tracker.sync(study.state, now=True)
    first, last = caplog.messages
    assert "the study goes on; MLflow is tried again" in first
    assert "`sitenet search sync toy-study` writes it from the journal" in last
    assert tracker.dirty


def test_what_was_missed_is_caught_up_when_mlflow_is_back(
    study: ToyStudy, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    tracker = MlflowTracker(uri, study.folder, clock=lambda: now[0])
    study.start(0)
    tracker.sync(study.state)

    def away(*_: Any, **__: Any) -> None:
        raise InfrastructureError("away")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowStore, "log", away)
        study.epoch(0, 1)
        tracker.sync(study.state)
        assert tracker.dirty
    study.epoch(0, 2)
    tracker.sync(study.state)
    assert tracker.dirty, "it is not asked again at once"
    now[0] += 31
    tracker.sync(study.state)
    assert not tracker.dirty
    run = runs(uri)["trial-00000"]
    history = MlflowClient(uri).get_metric_history(run.info.run_id, "val_mae")
    assert [p.step for p in history] == [1, 2]


def test_a_run_that_vanished_from_mlflow_is_made_again(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.start(0)
    study.epoch(0, 1)
    tracker.sync(study.state)
    client = MlflowClient(uri)
    client.delete_run(runs(uri)["trial-00000"].info.run_id)
    study.epoch(0, 2)
    tracker.sync(study.state)
    assert tracker.dirty
    tracker.sync(study.state, now=True)
    assert not tracker.dirty
    run = runs(uri)["trial-00000"]
    history = client.get_metric_history(run.info.run_id, "val_mae")
    assert [p.step for p in history] == [1, 2]


def test_trials_that_were_shown_before_follow_a_parent_run_made_anew(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.complete(0)
    tracker.sync(study.state)
    purge_run(uri, runs(uri)["study"].info.run_id)
    study.complete(1)
    tracker.sync(study.state)
    assert tracker.dirty
    tracker.sync(study.state, now=True)
    found = runs(uri)
    parent = found.pop("study").info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent}


def test_a_study_without_a_trial_needs_no_mlflow(
    study: ToyStudy,
) -> None:
    database = study.folder.parent / "absent.db"
    tracker = MlflowTracker(f"sqlite:///{database}", study.folder)
    tracker.sync(study.state)
    assert not database.exists()
    assert not tracker.dirty


def test_a_finished_trial_is_not_written_again(
    study: ToyStudy, tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.complete(0)
    tracker.sync(study.state)
    written: list[str] = []
    real = MlflowClient.log_batch

    def counted(self: MlflowClient, run_id: str, *arguments: Any, **named: Any) -> Any:
        written.append(run_id)
        return real(self, run_id, *arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    study.start(1)
    study.epoch(1, 1)
    tracker.sync(study.state)
    assert len(set(written)) == 1, "only the new trial"


def test_finished_events_of_an_old_attempt_change_nothing(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.complete(0)
    tracker.sync(study.state)
    before = content(uri)
    study.add(TrialFinished(trial=0, outcome=Outcome.CANCELLED, epoch=3, value=None))
    tracker.sync(study.state)
    assert content(uri) == before


def test_tags_that_an_earlier_version_called_otherwise_go_at_the_next_sync(
    study: ToyStudy, tracker: MlflowTracker, uri: str
) -> None:
    study.start(0)
    study.finish(0, Outcome.COMPLETED)
    study.complete(1)
    study.end()
    tracker.sync(study.state)
    before = content(uri)
    assert tracker.rebuild(study.state).updated == 0
    client, one = MlflowStore(uri).client, runs(uri)["trial-00000"].info.run_id
    client.set_tag(one, "seed", "100")
    other = runs(uri)["trial-00001"].info.run_id
    client.set_tag(other, "seed", "what somebody noted")
    assert tracker.rebuild(study.state).updated == 1
    client.delete_tag(other, "seed")
    assert content(uri) == before
