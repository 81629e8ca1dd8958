"""Earlier studies as MLflow holds them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.tracked_studies import ToyStudy, empty_store

from search.engine.warm_start import ranks
from search.journal.events import SegmentFinished, TrialFinished
from search.journal.records import TrialRecord
from search.tracking import MlflowTracker, experiment_studies, store
from search.tracking.points import Point
from search.tracking.store import MlflowStore
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError

RATE = {"optimizer.learning_rate": "0.01"}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    (tmp_path / "studies").mkdir()
    return empty_store(tmp_path / "studies")


@pytest.fixture
def study(tmp_path: Path) -> ToyStudy:
    return ToyStudy(tmp_path / "studies" / "toy-study")


def push(uri: str, study: ToyStudy) -> None:
    MlflowTracker(uri, study.folder).sync(study.state, now=True)


def the_study(uri: str) -> tuple[TrialRecord, ...]:
    """Return the trials of the one study in its experiment."""
    ((identity, tracked),) = experiment_studies(uri, "toy-study").items()
    assert identity.startswith("toy-study ")
    assert tracked.run is not None
    return tracked.trials


def levels(study: ToyStudy) -> None:
    """Journal trials along two levels of a fidelity, the second one the harder.

    Trial 0 completed, 1 waits at the first rung, 2 was interrupted on the second level,
    3 was lost on it and begins it anew.
    """
    for trial, first in enumerate((0.10, 0.12, 0.11, 0.13)):
        study.start(trial)
        study.epoch(trial, 1, value=first + 0.2)
        study.epoch(trial, 2, value=first)
        ids = {"trial": trial, "attempt": 1}
        study.add(SegmentFinished(**ids, epoch=2, checkpoint="c2"))
    for trial in (0, 2, 3):
        study.attempt(trial, 2, from_epoch=2, begins_after=2)
        study.epoch(trial, 3, attempt=2, value=0.3)
    study.epoch(0, 4, attempt=2, value=0.4)
    study.add(SegmentFinished(trial=0, attempt=2, epoch=4, checkpoint=None))
    study.add(TrialFinished(trial=0, outcome=Outcome.COMPLETED, epoch=4, value=0.3))
    study.attempt(3, 3, from_epoch=2, begins_after=2)


def test_a_study_comes_back_from_mlflow_as_it_was_tried(
    uri: str, study: ToyStudy
) -> None:
    for trial, outcome in enumerate((Outcome.COMPLETED, Outcome.FAILED_NAN)):
        study.start(trial)
        for epoch in (1, 2, 3):
            study.epoch(trial, epoch)
        study.finish(trial, outcome)
    push(uri, study)
    for record, original in zip(the_study(uri), study.state.trials, strict=True):
        assert record.configuration == original.configuration
        assert record.outcome is original.outcome
        assert record.rung_values == original.rung_values
    assert the_study(uri)[0].rung_values == {3: 1 / 3}


def test_the_values_of_levels_are_not_mixed(uri: str, study: ToyStudy) -> None:
    levels(study)
    push(uri, study)
    records = the_study(uri)
    assert records[0].rung_values == {2: 0.10, 4: 0.3}
    assert [r.rung_values for r in records[1:]] == [{2: 0.12}, {2: 0.11}, {2: 0.13}]
    assert ranks(records) == ranks(study.state.trials)


def test_a_study_is_read_without_a_question_per_trial(
    uri: str, study: ToyStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels(study)
    push(uri, study)
    monkeypatch.setattr(MlflowStore, "history", None)
    monkeypatch.setattr(MlflowStore, "values", None)
    assert len(the_study(uri)) == 4


def change_tags(uri: str, key: str, change: Callable[[str], str | None]) -> None:
    """Change, or remove, a tag of every run of the study that has it."""
    opened = MlflowStore(uri)
    found = opened.find_experiment("toy-study")
    assert found is not None
    for run in opened.experiment_runs(found):
        if key in run.tags:
            text = change(run.tags[key])
            if text is None:
                opened.client.delete_tag(run.run_id, key)
            else:
                opened.log(run.run_id, tags={key: text})


def test_runs_of_an_earlier_version_are_compared_where_trials_ended(
    uri: str, study: ToyStudy
) -> None:
    levels(study)
    study.start(4)
    study.epoch(4, 1, value=0.01)
    push(uri, study)
    change_tags(uri, "sitenet.record", lambda _text: None)
    records = the_study(uri)
    assert records[0].rung_values == {4: 0.3}
    assert not any(r.rung_values for r in records[1:]), "nobody else came to epoch 4"
    active = {k: v for k, v in study.state.trials[0].configuration.items() if v}
    assert active.items() <= records[0].configuration.items()


def test_runs_of_an_earlier_version_that_wait_are_not_outranked_by_interrupted_ones(
    uri: str, study: ToyStudy
) -> None:
    for trial, value in enumerate((0.2, 0.1, 0.3)):
        study.start(trial, until=1)
        study.epoch(trial, 1, value=value)
        study.add(SegmentFinished(trial=trial, attempt=1, epoch=1, checkpoint="c"))
    study.attempt(2, 2, from_epoch=1)
    study.epoch(2, 2, attempt=2, value=0.25)
    study.end("trials")
    push(uri, study)
    change_tags(uri, "sitenet.record", lambda _text: None)
    assert ranks(the_study(uri)) == ranks(study.state.trials) == {1: 0, 0: 0.5, 2: 1}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("sitenet.record", "{"),
        ("sitenet.record", "[]"),
        ("sitenet.record", '{"rungs": {"two": 1.0}}'),
        ("sitenet.record", '{"rungs": {"2": "low"}}'),
        ("sitenet.record", '{"rungs": {"2": NaN}}'),
        ("sitenet.record", '{"rungs": {}, "configuration": 3}'),
        ("sitenet.record", '{"rungs": {}, "configuration": {"a": []}}'),
        ("sitenet.record", f'{{"rungs": {{"2": {10**400}}}}}'),
        ("sitenet.record", '{"rungs": {}, "configuration": {"a": NaN}}'),
        ("sitenet.record", f'{{"rungs": {{}}, "configuration": {{"a": {10**400}}}}}'),
        ("sitenet.record", "[" * 4000),
        ("sitenet.key", "trial-best"),
        ("sitenet.key", f"trial-{10**4000}{10**400}"),
    ],
)
def test_a_tag_that_somebody_changed_is_said(
    uri: str, study: ToyStudy, key: str, text: str
) -> None:
    study.complete(0)
    push(uri, study)
    change_tags(uri, key, lambda old: text if old != "study" else old)
    with pytest.raises(ConfigError, match=rf"'toy-study': its tag {key} is .*sync"):
        experiment_studies(uri, "toy-study")


def test_a_trial_is_numbered_by_its_key(uri: str, study: ToyStudy) -> None:
    study.complete(0)
    push(uri, study)
    change_tags(uri, "trial", lambda _text: "the best")
    assert [record.number for record in the_study(uri)] == [0]


def test_a_long_configuration_is_told_by_the_parameters(
    uri: str, study: ToyStudy
) -> None:
    study.complete(0)
    push(uri, study)

    def shortened(text: str) -> str:
        return json.dumps({"rungs": json.loads(text)["rungs"]})

    change_tags(uri, "sitenet.record", shortened)
    (record,) = the_study(uri)
    flat = study.state.trials[0].configuration
    assert record.configuration == {k: v for k, v in flat.items() if v is not None}
    assert record.rung_values == {3: 1 / 3}


Points = tuple[tuple[str, float, int], ...]


def others(
    uri: str,
    runs: Mapping[str, Points],
    status: str = "FINISHED",
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log runs as somebody does who does not know this project."""
    opened = MlflowStore(uri)
    experiment = opened.experiment("notebook", None)
    for name, logged in runs.items():
        run = opened.create_run(experiment, name, 0, tags or {})
        points = [
            Point(metric, v, step, t) for t, (metric, v, step) in enumerate(logged)
        ]
        opened.log(run.run_id, points, RATE)
        if status != "RUNNING":
            opened.set_status(run.run_id, status, 2)


def notebook(uri: str) -> tuple[TrialRecord, ...]:
    (tracked,) = experiment_studies(uri, "notebook").values()
    assert tracked.run is None
    return tracked.trials


@pytest.mark.parametrize(
    "logged",
    [
        (("val_mae", 0.2, 0),),
        (("val_mae", 0.2, 5),),
        (("val_mae", 0.4, 0), ("val_mae", 0.2, 0), ("val_mae", 0.3, 0)),
        (("val_mae", 0.4, 100), ("val_mae", 0.2, 200), ("val_mae", 0.3, 300)),
        (("val_mae", 0.2, 1), ("val_mae", float("nan"), 2)),
        (("val_mae", float("inf"), 1), ("val_mae", 0.2, 2)),
        (("val_mae", 0.2, -1),),
        (("best_val_mae", 0.2, 0),),
        (("val_mae", 0.3, 0), ("best_val_mae", 0.2, 0)),
    ],
)
def test_runs_of_others_count_by_their_best_value_at_whatever_step(
    uri: str, logged: Points
) -> None:
    others(uri, {"worse": (("val_mae", 0.3, 7),), "this": logged})
    others(uri, {"better": (("val_mae", 0.1, 0),)})
    records = notebook(uri)
    assert {record.value for record in records} == {0.3, 0.2, 0.1}
    ranked = ranks(records)
    assert {r.value: ranked[r.number] for r in records} == {0.1: 0, 0.2: 0.5, 0.3: 1}
    assert records[0].configuration == {"optimizer.learning_rate": 0.01}


def test_tags_of_others_are_their_own_affair(uri: str) -> None:
    tags = {"trial": "best so far", "outcome": "failed_data", "sitenet.record": "{"}
    others(uri, {"a": (("val_mae", 0.2, 0),)}, tags=tags)
    others(
        uri, {"b": (("val_mae", 0.1, 0),)}, tags={"sitenet.study": "x", "trial": "-1"}
    )
    assert [r.number for r in notebook(uri)] == [0, 1]
    assert {r.outcome for r in notebook(uri)} == {Outcome.COMPLETED}


def test_only_runs_of_others_that_ended_have_a_rank(uri: str) -> None:
    one = (("val_mae", 0.01, 3),)
    for status in ("RUNNING", "KILLED"):
        others(uri, {status: one}, status)
    others(uri, {"failed": one}, "FAILED")
    others(uri, {"nan": (("val_mae", float("nan"), 3),)})
    others(uri, {"infinite": (("val_mae", float("inf"), 3),)})
    others(uri, {"nothing": (("loss", 0.1, 3),)})
    others(uri, {"good": (("val_mae", 0.5, 1),)})
    records = notebook(uri)
    ranked = ranks(records)
    assert sorted(ranked.values()) == [0, 1, 1, 1]
    (good,) = (r for r in records if ranked.get(r.number) == 0)
    assert good.value == 0.5


def test_deleted_runs_and_those_without_parameters_are_no_trials(uri: str) -> None:
    others(uri, {"kept": (("val_mae", 0.5, 1),), "gone": (("val_mae", 0.1, 1),)})
    opened = MlflowStore(uri)
    experiment = opened.experiment("notebook", None)
    for run in opened.experiment_runs(experiment):
        if run.tags["mlflow.runName"] == "gone":
            opened.client.delete_run(run.run_id)
    bare = opened.create_run(experiment, "bare", 0, {})
    opened.log(bare.run_id, [Point("val_mae", 0.1, 1, 1)])
    opened.set_status(bare.run_id, "FINISHED", 2)
    assert [record.value for record in notebook(uri)] == [0.5]


def test_runs_beyond_a_page_are_read_too(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_RUNS_PER_PAGE", 2)
    others(uri, {str(n): (("val_mae", 1.0 + n, 0),) for n in range(5)})
    assert sorted(r.value or 0 for r in notebook(uri)) == [1, 2, 3, 4, 5]


def test_an_experiment_of_several_people_is_several_studies(
    uri: str, study: ToyStudy
) -> None:
    study.complete(0)
    push(uri, study)
    opened = MlflowStore(uri)
    run = opened.create_run(opened.experiment("toy-study", None), "mine", 0, {})
    opened.log(run.run_id, [Point("val_mae", 0.1, 0, 1)], RATE)
    found = experiment_studies(uri, "toy-study")
    assert [tracked.run is None for tracked in found.values()] == [False, True]
    assert [len(tracked.trials) for tracked in found.values()] == [1, 1]


def test_an_experiment_that_is_not_there_is_said_and_not_made(uri: str) -> None:
    with pytest.raises(ConfigError, match="no experiment 'gone'"):
        experiment_studies(uri, "gone")
    assert MlflowStore(uri).find_experiment("gone") is None


def test_a_deleted_experiment_is_not_read(uri: str) -> None:
    others(uri, {"a": (("val_mae", 0.2, 0),)})
    opened = MlflowStore(uri)
    opened.client.delete_experiment(opened.experiment("notebook", None))
    with pytest.raises(ConfigError, match="restore it there if it was deleted"):
        experiment_studies(uri, "notebook")
