"""Edit and continue: which trials a changed space keeps, and what it may not change."""

import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.earlier_studies import add_trial, write_earlier_study
from support.toy_study import SPACE, study_document, write_study

from search.engine.searchers import next_proposal
from search.engine.searchers.random import RandomSearcher
from search.journal import (
    EpochDone,
    Journal,
    PromotionStarted,
    SegmentFinished,
    SegmentStarted,
    SessionStarted,
    StudyState,
    TrialCreated,
)
from search.promotion import promote
from search.study import Study, StudyFolder, load_study
from search.study.edit import differs, finish_edit, make_edit, plan_edit
from search.study.resolve import (
    check_digests,
    save_study,
    save_warm_start,
    saved_study,
    saved_warm_start,
)
from search.study.session import begin_study
from search.study.sync import sync_study
from search.study.warm_start import resolve_warm_start
from search.tracking.views import study_identity
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError

RATE = "optimizer.learning_rate"
DECAY = "optimizer.weight_decay"
POOLING = "model.pooling"
TRIED = [({RATE: 5e-4}, 0.3), ({RATE: 2e-3}, 0.1), ({RATE: 9e-3}, 0.2)]


def rates(low: float, high: float) -> dict[str, Any]:
    return {RATE: {"type": "float", "low": low, "high": high, "log": True}}


def study(
    folder: Path,
    parameters: dict[str, Any] | None = None,
    space: dict[str, Any] | None = None,
    **changes: Any,
) -> Study:
    changed = {"parameters": parameters or SPACE["parameters"], "known_good": []}
    document = study_document(Path("crystals"), **changes)
    path = write_study(folder, document, **changed, **(space or {}))
    return load_study(path)


@pytest.fixture
def begun(tmp_path: Path) -> StudyFolder:
    """A study of the learning rate with three trials."""
    return write_earlier_study(tmp_path / "studies" / "toy", study(tmp_path), TRIED)


def edited(folder: StudyFolder, new: Study) -> StudyState:
    """Make the edit and return the state of a driver that starts after it."""
    make_edit(folder, plan_edit(folder, new))
    saved = saved_study(folder)
    assert saved.space.digest == new.space.digest
    assert saved.config == new.config
    check_digests(folder, saved)
    assert not folder.pending_edit.path.exists()
    return folder.state()


def values(state: StudyState) -> list[float | None]:
    return [trial.value for trial in state.trials]


def test_a_widened_space_keeps_every_trial(begun: StudyFolder, tmp_path: Path) -> None:
    before = begun.state()
    wider = study(tmp_path / "new", rates(1e-5, 1e-1))
    assert differs(saved_study(begun), wider)
    edit = plan_edit(begun, wider)
    assert edit.lines() == ["edited: 3 of 3 trials fit the new space and are kept"]
    assert begun.state() == before, "a plan changes nothing"
    after = edited(begun, wider)
    assert after.trials == before.trials
    assert after.best == before.best
    assert not differs(saved_study(begun), wider)


def test_a_narrowed_space_keeps_the_trials_inside_it(
    begun: StudyFolder, tmp_path: Path
) -> None:
    narrow = study(tmp_path / "new", rates(4e-4, 1e-3))
    edit = plan_edit(begun, narrow)
    assert edit.lines() == [
        "edited: 1 of 3 trials fit the new space and are kept",
        f"  1 set aside: {RATE}: 0.002 lies outside 0.0004 to 0.001",
        f"  1 set aside: {RATE}: 0.009 lies outside 0.0004 to 0.001",
    ]
    state = edited(begun, narrow)
    assert values(state) == [0.3, None, None]
    assert state.trials[1].outcome is Outcome.OUTSIDE
    assert "lies outside" in state.trials[1].message
    assert state.best == state.trials[0], "what the user excluded is not the best"


def test_a_trial_that_was_set_aside_comes_back_when_there_is_room_again(
    begun: StudyFolder, tmp_path: Path
) -> None:
    before = begun.state()
    edited(begun, study(tmp_path / "new", rates(4e-4, 1e-3)))
    again = edited(begun, study(tmp_path / "newer", rates(4e-4, 5e-3)))
    assert values(again) == [0.3, 0.1, None]
    assert again.trials[:2] == before.trials[:2]
    last = edited(begun, study(tmp_path / "newest", rates(1e-4, 1e-2)))
    assert last.trials == before.trials
    assert last.outside == {}


def test_an_extended_space_gives_old_trials_the_value_that_they_had(
    begun: StudyFolder, tmp_path: Path
) -> None:
    decay = {"type": "float", "low": 1e-9, "high": 0.5, "log": True}
    extended = study(tmp_path / "new", {**rates(1e-4, 1e-2), DECAY: decay})
    held = study(tmp_path).base_values[DECAY]
    state = edited(begun, extended)
    assert [t.configuration for t in state.trials] == [
        {**flat, DECAY: held} for flat, _ in TRIED
    ]
    assert values(state) == [0.3, 0.1, 0.2]
    for trial in state.trials:
        config = extended.space.configuration(trial.configuration, {})
        assert config.optimizer.weight_decay == held


def test_a_parameter_that_is_fixed_now_keeps_the_trials_that_had_its_value(
    tmp_path: Path,
) -> None:
    pooling = {POOLING: {"type": "choice", "values": ["mean", "max"]}}
    first = study(tmp_path, {**rates(1e-4, 1e-2), **pooling})
    tried = [
        ({RATE: 1e-3, POOLING: "mean"}, 0.2),
        ({RATE: 2e-3, POOLING: "max"}, 0.1),
    ]
    folder = write_earlier_study(tmp_path / "studies" / "toy", first, tried)
    fixed = {"fixed": {**SPACE["fixed"], POOLING: "mean"}}
    new = study(tmp_path / "new", rates(1e-4, 1e-2), fixed)
    state = edited(folder, new)
    assert state.trials[0].configuration == {RATE: 1e-3}
    assert state.trials[1].outcome is Outcome.OUTSIDE
    assert state.trials[1].message == (
        f"{POOLING} was max in the trial, and is mean now"
    )


def test_a_constraint_that_is_added_sets_aside_what_it_rules_out(
    begun: StudyFolder, tmp_path: Path
) -> None:
    decay = {"type": "float", "low": 1e-9, "high": 0.5, "log": True}
    both = {**rates(1e-4, 1e-2), DECAY: decay}
    rule = {"constraints": [f"{RATE} <= 0.005 + 0 * {DECAY}"]}
    state = edited(begun, study(tmp_path / "new", both, rule))
    assert values(state) == [0.3, 0.1, None]
    assert "is not true" in state.trials[2].message


def test_a_changed_value_that_is_not_sampled_keeps_nothing_and_is_refused(
    begun: StudyFolder, tmp_path: Path
) -> None:
    before = begun.journal.read_bytes()
    other = study(tmp_path / "new", configuration={"optimizer": {"epsilon": 0.005}})
    with pytest.raises(ConfigError, match="none of the 3 trials fits") as caught:
        plan_edit(begun, other)
    assert "3 set aside: optimizer.epsilon was" in str(caught.value)
    assert begun.journal.read_bytes() == before


def test_a_trial_that_its_family_refused_does_not_stand_in_the_way(
    begun: StudyFolder, tmp_path: Path
) -> None:
    refused = Outcome.FAILED_CONFIGURATION
    add_trial(Journal.open(begun.journal), 3, {RATE: -1.0}, refused)
    edit = plan_edit(begun, study(tmp_path / "new", rates(1e-5, 1e-1)))
    assert edit.n_kept == 3
    assert edit.lines()[1] == f"  1 set aside: {RATE}: -1.0 lies outside 1e-05 to 0.1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"target": {"unit": "nm"}}}, "data.target.unit: values on other"),
        ({"algorithm": {"seed": 3}}, "algorithm.seed: what was proposed"),
        ({"warm_start": ["old"]}, "warm_start: earlier studies are read once"),
        (
            {"configuration": {"training": {"epochs": 5}}},
            "configuration.training.epochs: 5, not 2; .* cannot be compared",
        ),
    ],
)
def test_what_no_edit_may_change_is_refused_with_its_reason(
    begun: StudyFolder, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_edit(begun, study(tmp_path / "new", rates(1e-5, 1e-1), **changes))


def test_other_settings_of_the_store_are_refused(
    begun: StudyFolder, tmp_path: Path
) -> None:
    bigger = {"fixed": {"cell.max_atoms": 12}}
    with pytest.raises(ConfigError, match="the split was made on it"):
        plan_edit(begun, study(tmp_path / "new", None, bigger))


def test_a_promoted_study_is_not_edited(begun: StudyFolder, tmp_path: Path) -> None:
    event = PromotionStarted(trial=1, plan={}, promotion_digest="0")
    Journal.open(begun.journal).append(event)
    with pytest.raises(ConfigError, match="has been promoted"):
        plan_edit(begun, study(tmp_path / "new", rates(1e-5, 1e-1)))


def unfinished(begun: StudyFolder, rate: float) -> str:
    """Journal trial 3: it waits at epoch 1; return its checkpoint."""
    ids = {"trial": 3, "attempt": 1}
    journal = Journal.open(begun.journal)
    flat = {RATE: rate}
    journal.append(TrialCreated(trial=3, configuration=flat, source="searcher", seed=0))
    journal.append(
        SegmentStarted(
            **ids, from_epoch=0, until_epoch=1, checkpoint=None, folder="trials/3"
        )
    )
    metrics = {"val_mae": 0.5}
    journal.append(EpochDone(**ids, epoch=1, metrics=metrics, checkpoint="last.ckpt"))
    journal.append(SegmentFinished(**ids, epoch=1, checkpoint="last.ckpt"))
    return "last.ckpt"


def test_an_unfinished_trial_comes_back_only_with_its_checkpoint(
    begun: StudyFolder, tmp_path: Path
) -> None:
    checkpoint = begun.absolute(unfinished(begun, 8e-3))
    edited(begun, study(tmp_path / "new", rates(1e-4, 3e-3)))
    wide = study(tmp_path / "newer", rates(1e-4, 1e-2))
    edit = plan_edit(begun, wide)
    assert edit.n_kept == 3
    assert edit.lines()[1].endswith("unfinished and its checkpoint is gone")
    checkpoint.write_text("weights")
    state = edited(begun, wide)
    assert state.trials[3].outcome is None
    assert state.trials[3].waiting


def test_an_edit_that_was_killed_before_the_journal_never_happened(
    begun: StudyFolder, tmp_path: Path
) -> None:
    before, saved = begun.state(), saved_study(begun)
    save_study(begun.pending_edit, study(tmp_path / "new", rates(1e-5, 1e-1)))
    finish_edit(begun)
    assert begun.state() == before
    assert saved_study(begun) == saved
    assert not begun.pending_edit.path.exists()


def test_an_edit_that_was_killed_after_the_journal_is_finished(
    begun: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = study(tmp_path / "new", rates(1e-5, 1e-1))
    with monkeypatch.context() as patch:
        patch.setattr("search.study.edit.finish_edit", lambda _folder: None)
        make_edit(begun, plan_edit(begun, new))
    with pytest.raises(ConfigError, match="no longer fit the journal"):
        check_digests(begun, saved_study(begun))
    finish_edit(begun)
    check_digests(begun, saved_study(begun))
    assert saved_study(begun).space.digest == new.space.digest


def warm_started(begun: StudyFolder, tmp_path: Path) -> StudyFolder:
    """Return a study with one trial that began with what another one tells."""
    warm = study(tmp_path / "warm", name="warm", warm_start=["toy"])
    folder = StudyFolder(begun.path.parent / "warm")
    save_study(folder, warm)
    save_warm_start(folder, resolve_warm_start(warm, folder))
    begin_study(folder, warm)
    add_trial(Journal.open(folder.journal), 0, {RATE: 1e-3}, 0.4)
    return folder


def test_what_is_left_of_a_finished_edit_takes_nothing_away(
    begun: StudyFolder, tmp_path: Path
) -> None:
    """A driver was killed while it removed the new files, of which one is gone."""
    folder = warm_started(begun, tmp_path)
    wide = rates(1e-5, 1e-1)
    new = study(tmp_path / "new", wide, name="warm", warm_start=["toy"])
    make_edit(folder, plan_edit(folder, new))
    kept = saved_warm_start(folder)
    assert kept is not None
    for lost in ("warm_start.json", "study.yaml", "space.json"):
        save_study(folder.pending_edit, saved_study(folder))
        save_warm_start(folder.pending_edit, kept)
        (folder.pending_edit.path / lost).unlink()
        finish_edit(folder)
        assert saved_warm_start(folder) == kept
        check_digests(folder, saved_study(folder))


def die_at_operation(number: int, folder: Path) -> None:
    """Arrange that this process dies before its `number`-th change to a file there."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        changes = event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
        writes = event == "open" and arguments[1] not in {"r", "rb", None}
        # A file in a folder that is being removed has a name without the folder.
        if changes or (writes and str(folder) in str(arguments[0])):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def edit_and_die(folder: StudyFolder, new: Study, number: int) -> bool:
    """Make the edit in a process that dies; return whether it lived to the end."""
    child = os.fork()
    if child == 0:
        try:
            die_at_operation(number, folder.path)
            make_edit(folder, plan_edit(folder, new))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_edit_killed_at_any_change_of_a_file_is_made_or_was_not(
    begun: StudyFolder, tmp_path: Path
) -> None:
    source = warm_started(begun, tmp_path)
    before, saved = source.state(), saved_study(source)
    wide = rates(1e-5, 1e-1)
    new = study(tmp_path / "new", wide, name="warm", warm_start=["toy"])
    made: list[bool] = []
    for number in range(1, 100):
        folder = StudyFolder(source.path.with_name(f"warm-{number}"))
        shutil.copytree(source.path, folder.path)
        lived = edit_and_die(folder, new, number)
        finish_edit(folder)
        now = saved_study(folder)
        check_digests(folder, now)
        assert saved_warm_start(folder) is not None
        assert not folder.pending_edit.path.exists()
        made.append(now.space.digest == new.space.digest)
        if not made[-1]:
            assert (folder.state(), now) == (before, saved)
            edited(folder, new)
        if lived:
            break
    assert made == sorted(made), "once made, it stays made"
    assert made.count(False) > 6
    assert made.count(True) > 6


@pytest.mark.parametrize("command", ["promote", "sync"])
def test_every_command_that_holds_the_lock_finishes_such_an_edit(
    begun: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    new = study(tmp_path / "new", rates(1e-5, 1e-1))
    with monkeypatch.context() as patch:
        patch.setattr("search.study.edit.finish_edit", lambda _folder: None)
        make_edit(begun, plan_edit(begun, new))
    if command == "sync":
        sync_study(begun)
    else:
        with pytest.raises(ConfigError, match="data source 'crystals'"):
            promote(begun)
    check_digests(begun, saved_study(begun))


def test_an_edit_takes_no_time_of_the_budget_and_leaves_nothing_running(
    begun: StudyFolder, tmp_path: Path
) -> None:
    journal = Journal.open(begun.journal)
    journal.append(SessionStarted(session=1, host="here", pid=1))
    add_trial(journal, 3, {RATE: 3e-3}, 0.4)
    flat = {RATE: 4e-3}
    journal.append(TrialCreated(trial=4, configuration=flat, source="searcher", seed=0))
    journal.append(
        SegmentStarted(
            trial=4, attempt=1, from_epoch=0, until_epoch=2, checkpoint=None, folder="x"
        )
    )
    before = begun.state()
    state = edited(begun, study(tmp_path / "new", rates(1e-5, 1e-1)))
    assert state.search_seconds == before.search_seconds
    assert before.trials[4].running
    assert not state.trials[4].running
    assert state.trials[4].interrupted, "it goes on"
    other = replace(state, study_digest="of an edited study file")
    assert study_identity(other) == study_identity(before), "MLflow finds it again"


def test_what_earlier_studies_handed_on_is_carried_into_the_new_space(
    begun: StudyFolder, tmp_path: Path
) -> None:
    folder = warm_started(begun, tmp_path)
    narrow = study(tmp_path / "new", rates(5e-4, 4e-3), name="warm", warm_start=["toy"])
    edited(folder, narrow)
    warm_start = saved_warm_start(folder)
    assert warm_start is not None
    assert [flat[RATE] for flat in warm_start.portfolio] == [2e-3, 4e-3, 5e-4]
    assert warm_start.notes[0].observations == 2


def test_a_known_good_configuration_that_an_edit_adds_is_tried_next(
    begun: StudyFolder, tmp_path: Path
) -> None:
    good = [{RATE: 2e-3}, {RATE: 7e-3}]
    document = study_document(Path("crystals"))
    new = load_study(write_study(tmp_path / "new", document, known_good=good))
    state = edited(begun, new)
    proposal = next_proposal(RandomSearcher(), new.space, state.trials, trial=3, seed=0)
    assert proposal.configuration == {RATE: 7e-3}
    assert proposal.source == "known_good"
