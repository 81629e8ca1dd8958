"""The best trials trained again, on a real Site-Net with a few crystals."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.promotable_study import make_study
from support.tracked_studies import empty_store

import search.promotion.networks as networks_module
import search.promotion.testing as testing_module
from search.engine.fidelity import Fidelity, Level
from search.journal import (
    EpochDone,
    Journal,
    PromotionRerun,
    PromotionReruns,
    SegmentFailed,
    SegmentStarted,
    StudyState,
    read_journal,
)
from search.journal.events import PromotionEpoch, PromotionStarted
from search.promotion import promote
from search.study import StudyFolder
from search.study.load import Study, load_study
from search.study.resolve import promotion_digest
from search.tracking import MlflowStore, tracking_uri
from search.tracking.reruns import rerun_views
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError, InfrastructureError, NonFiniteLossError

TWO_BY_TWO = "top_k: 2\n  seeds: 2"


class Killed(BaseException):
    """Stands for a kill: nothing of ours handles it."""


def no_memory(trial: int, micro_batch: int) -> SegmentFailed:
    return SegmentFailed(
        trial=trial,
        attempt=1,
        kind=Outcome.FAILED_OOM,
        message="no memory left",
        micro_batch=micro_batch,
    )


@pytest.fixture
def twice(tmp_path: Path) -> StudyFolder:
    empty_store(tmp_path / "studies")
    return make_study(tmp_path, epochs=1, references="constant", reruns=TWO_BY_TWO)


def reruns(folder: StudyFolder) -> list[PromotionRerun]:
    events = [entry.event for entry in read_journal(folder.journal)]
    return [e for e in events if isinstance(e, PromotionRerun)]


def patched_fit(
    monkeypatch: pytest.MonkeyPatch, seen: Callable[[Any, Any], None]
) -> None:
    """Call `seen` with configuration and options before every training."""
    fit = networks_module.fit

    def fitted(config: Any, data: Any, options: Any, on_epoch: Any) -> Any:
        seen(config, options)
        return fit(config, data, options, on_epoch)

    monkeypatch.setattr(networks_module, "fit", fitted)


def test_the_best_trials_are_trained_again_and_the_choice_is_told_everywhere(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int, int]] = []
    patched_fit(
        monkeypatch,
        lambda config, options: trained.append(
            (options.folder.name, config.training.seed, config.training.epochs)
        ),
    )
    result = promote(twice, threads=1)
    # Trial 2 failed; the study's own seed is 0. Two epochs are a trial's, one the
    # promotion's.
    assert trained == [
        ("trial-00001-seed-1", 1, 2),
        ("trial-00000-seed-1", 1, 2),
        ("trial-00001-seed-2", 2, 2),
        ("trial-00000-seed-2", 2, 2),
        ("promotion", 7, 1),
    ]
    done = reruns(twice)
    assert len(done) == 4
    assert all(r.value and r.seconds > 0 and r.epochs == 2 for r in done)
    means = {n: sum(r.value or 0 for r in done if r.trial == n) / 2 for n in (0, 1)}
    choice = result.choice
    assert choice is not None
    assert {c.trial: c.mean for c in choice.contenders} == pytest.approx(means)
    assert choice.contenders[0].mean == min(means.values())
    assert result.trial == choice.trial
    written = json.loads((twice.promotion / "result.json").read_text())
    assert written["choice"] == choice.model_dump(mode="json")
    table = (twice.promotion / "table.md").read_text()
    for text in ("mean of reruns (Å)", "Optimism of the search", "4 trainings"):
        assert text in table
        assert text in result.as_text()
    assert not list((twice.promotion / "reruns").rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        # Four trainings of two epochs; in the search 60 s and 120 s.
        ((Level(0, 2),), "about 12.0 minutes at the trials' pace"),
        ((Level(0, 1), Level(1, 2)), "about 16.0 minutes at the trials' pace"),
        ((Level(0, 2), Level(2, 4)), "more than 12.0 minutes: that is the pace of"),
    ],
    ids=["along epochs", "at the full level", "at a lower level"],
)
def test_the_time_of_the_reruns_is_foretold_from_the_fidelity_they_have(
    twice: StudyFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    levels: tuple[Level, ...],
    words: str,
) -> None:
    events = [entry.event for entry in read_journal(twice.journal)]
    twice.journal.write_bytes(twice.journal.read_bytes().splitlines(keepends=True)[0])
    journal = Journal.open(twice.journal)
    for event in events[1:]:
        changed = event
        if isinstance(event, EpochDone):
            metrics = {**event.metrics, "seconds": 60.0 * event.epoch}
            changed = event.model_copy(update={"metrics": metrics})
        journal.append(changed)

    def dying(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(networks_module, "fit", dying)
    monkeypatch.setattr(Study, "fidelity", Fidelity(levels))
    with pytest.raises(Killed):
        promote(twice, threads=1, progress=True)
    told = " ".join(capsys.readouterr().err.split())
    assert "Training the best trials again (1, 0) with seeds 1, 2: 4 trainings" in told
    assert words in told


def test_reruns_are_runs_in_mlflow_with_their_curves(twice: StudyFolder) -> None:
    promote(twice, threads=1)
    client = MlflowStore(tracking_uri(twice.path.parent)).client
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id], "tags.promotion = 'rerun'")
    values = {(r.trial, r.seed): r.value for r in reruns(twice)}
    assert {
        (int(r.data.tags["trial"]), int(r.data.tags["seed"])): r.data.metrics[
            "best_val_mae"
        ]
        for r in runs
    } == values
    assert not [r for r in runs if "rerun_value" in r.data.metrics]
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "val_mae")
        assert [p.step for p in history] == [1, 2]
        assert run.info.status == "FINISHED"
        assert "optimizer.learning_rate" in run.data.params
    stated = {"data_digest": "d", "split_digest": "s"}
    state = replace(StudyState.read(twice.journal), digests=stated)
    for view in rerun_views(state, {}):
        assert stated.items() <= view.tags.items(), "from the journal alone"


def test_a_killed_rerun_goes_on_and_none_is_trained_twice(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fit = networks_module.fit

    def dying(config: Any, data: Any, options: Any, on_epoch: Any) -> Any:
        def die(record: Any) -> None:
            if options.folder.name == "trial-00000-seed-1" and record.epoch == 2:
                raise Killed  # its checkpoint is on disk, its event is not
            on_epoch(record)

        return fit(config, data, options, die)

    with monkeypatch.context() as patched:
        patched.setattr(networks_module, "fit", dying)
        with pytest.raises(Killed):
            promote(twice, threads=1)
    assert [(r.trial, r.seed) for r in reruns(twice)] == [(1, 1)]
    resumed: dict[str, bool] = {}
    patched_fit(
        monkeypatch,
        lambda _, options: resumed.update(
            {options.folder.name: options.resume_from is not None}
        ),
    )
    result = promote(twice, threads=1)
    assert resumed == {
        "trial-00000-seed-1": True,
        "trial-00001-seed-2": False,
        "trial-00000-seed-2": False,
        "promotion": False,
    }
    epochs = [
        (e.model, e.epoch)
        for entry in read_journal(twice.journal)
        if isinstance(e := entry.event, PromotionEpoch)
    ]
    assert len(epochs) == len(set(epochs)) == 4 * 2 + 1
    empty_store(tmp_path / "whole" / "studies")
    whole = make_study(
        tmp_path / "whole", epochs=1, references="constant", reruns=TWO_BY_TWO
    )
    assert [c.values for c in (promote(whole, threads=1).choice or ()).contenders] == [
        c.values for c in (result.choice or ()).contenders
    ]
    again = promote(twice, threads=1)
    assert again.choice == result.choice
    assert len(reruns(twice)) == 4


def test_the_test_set_is_not_opened_before_the_choice(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(testing_module, "evaluate", dying)
    with pytest.raises(Killed):
        promote(twice, threads=1)
    names = [entry.event.event for entry in read_journal(twice.journal)]
    assert names.index("promotion_testing") > names.index("promotion_started")
    assert names.index("promotion_started") > max(
        k for k, name in enumerate(names) if name == "promotion_rerun"
    )


def test_a_rerun_that_fails_is_journalled_and_the_others_go_on(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Any, options: Any) -> None:
        if options.folder.name.startswith("trial-00001"):
            raise NonFiniteLossError("the loss is nan in epoch 1")

    patched_fit(monkeypatch, failing)
    result = promote(twice, threads=1)
    assert result.trial == 0
    assert [r.message for r in reruns(twice) if r.trial == 1] == [
        "the loss is nan in epoch 1"
    ] * 2
    assert "failed 2 of 2" in result.report()


def test_a_full_disk_is_no_property_of_a_trial(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise InfrastructureError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(networks_module, "fit", full)
        with pytest.raises(InfrastructureError):
            promote(twice, threads=1)
    assert reruns(twice) == []


@pytest.mark.parametrize(
    ("keys", "reason"),
    [("top_k: 1", "promotion.top_k is 1"), ("seeds: 0", "promotion.seeds is 0")],
)
def test_without_reruns_the_report_says_so(
    tmp_path: Path, keys: str, reason: str
) -> None:
    empty_store(tmp_path / "studies")
    study = make_study(tmp_path, epochs=1, references="constant", reruns=keys)
    result = promote(study, threads=1)
    assert reruns(study) == []
    assert (result.trial, result.chosen_by) == (1, 0.5)
    assert reason in result.as_text()
    assert "expected to be too good" in result.report()


def test_the_section_promotion_is_fixed_by_the_first_rerun(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(networks_module, "fit", dying)
    with pytest.raises(Killed):
        promote(twice, threads=1)
    text = twice.study_file.read_text()
    twice.study_file.write_text(text.replace("top_k: 2", "top_k: 3"))
    with pytest.raises(ConfigError, match="promotion"):
        promote(twice, threads=1)


def test_a_promotion_that_began_before_there_were_reruns_goes_on_without(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_study(twice.path.parent / "plain", epochs=1, references="constant")
    with monkeypatch.context() as patched:

        def dying(*_: Any) -> None:
            raise Killed

        patched.setattr(networks_module, "fit", dying)
        with pytest.raises(Killed):
            promote(plain, threads=1)
    events = [entry.event for entry in read_journal(plain.journal)]
    (started,) = (e for e in events if isinstance(e, PromotionStarted))
    started.plan.pop("choice")
    begun = next(k for k, e in enumerate(events) if isinstance(e, PromotionReruns))
    lines = twice.journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == begun - 1  # the promotion's session began one line before
    journal = Journal.open(twice.journal)
    journal.append(events[begun - 1])
    journal.append(
        started.model_copy(
            update={
                "promotion_digest": promotion_digest(
                    load_study(twice.path.parent.parent / "study.yaml").config
                )
            }
        )
    )
    result = promote(twice, threads=1)
    assert result.choice is None
    assert reruns(twice) == []
    assert result.report() == result.table()


def test_half_of_what_ran_out_of_memory_in_the_search_is_trained_again(
    twice: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = twice.journal.read_bytes().splitlines(keepends=True)
    events = [entry.event for entry in read_journal(twice.journal)]
    twice.journal.write_bytes(lines[0])
    journal = Journal.open(twice.journal)
    for event in events[1:]:
        attempt = getattr(event, "attempt", None)
        if attempt is not None and getattr(event, "trial", None) == 1:
            if isinstance(event, SegmentStarted) and attempt == 1:
                journal.append(event)
                journal.append(no_memory(trial=1, micro_batch=14))
            later = {"attempt": attempt + 1}
            event = event.model_copy(update=later)  # noqa: PLW2901
        journal.append(event)
    seen: dict[str, int | None] = {}
    patched_fit(
        monkeypatch,
        lambda _, options: seen.update({options.folder.name: options.micro_batch}),
    )
    winner = promote(twice, threads=1).trial
    assert seen["trial-00001-seed-1"] == 7
    predicted = seen["trial-00000-seed-1"]
    assert predicted is not None
    assert predicted > 7
    assert seen["promotion"] == (7 if winner == 1 else predicted)


def test_over_folds_every_fold_validates_but_the_test_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_store(tmp_path / "studies")
    study = make_study(
        tmp_path,
        epochs=1,
        references="constant",
        reruns="top_k: 2\n  seeds: 1\n  folds: true",
        folds=True,
    )
    fit = networks_module.fit
    validated: dict[str, set[int]] = {}

    def seen(config: Any, data: Any, options: Any, on_epoch: Any) -> Any:
        assert not set(data.split.test) & {*data.training_ids, *data.validation_ids}
        folds = {int(name[1:]) % 4 for name in data.validation_ids}
        validated[options.folder.name] = folds
        return fit(config, data, options, on_epoch)

    monkeypatch.setattr(networks_module, "fit", seen)
    choice = promote(study, threads=1).choice
    assert choice is not None
    assert choice.folds == (1, 2, 3)
    for fold in choice.folds:
        assert validated[f"trial-00001-seed-1-fold-{fold}"] == {fold}
    assert len(reruns(study)) == 2 * 3
    # 12 crystals beside the test set, 4 in each fold: 4 validate, 8 are trained on.
    events = [entry.event for entry in read_journal(study.journal)]
    (plan,) = (e for e in events if isinstance(e, PromotionReruns))
    assert plan.overlap == pytest.approx(0.5)
    assert (
        "each over folds 1, 2, 3 (6 trainings)"
        in (study.promotion / "table.md").read_text()
    )
