"""What `search status` says of a study."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.conducted_study import Bench
from support.readme_keys import keys

from search.engine.budget import Budget
from search.engine.disk import disk_use
from search.engine.fidelity import Fidelity, Level
from search.engine.schedulers import Asha
from search.journal import StudyState
from search.study.summary import StudySummary
from search.tracking.views import study_view
from search.trial.outcome import Outcome
from sitenet_core.errors import InfrastructureError, NoTrialSucceededError


def summary(folder: Path, trials: int = 9) -> StudySummary:
    bench = Bench(folder, Asha(epochs=9, min_epochs=1, eta=3), rules={"trials": trials})
    budget = Budget(trials=trials, epochs=100, gpu_seconds=7200.0)
    fidelity = Fidelity((Level(0, 9),))
    used = disk_use(folder)
    return StudySummary(folder, bench.session(), "eV", budget, used, fidelity)


def test_status_says_what_is_used_of_every_budget(tmp_path: Path) -> None:
    told = summary(tmp_path)
    document = json.loads(json.dumps(told.as_dict(), allow_nan=False))
    assert set(document) == set(keys("search status"))
    limits = {"trials": 9, "epochs": 100, "wall_clock_seconds": None, "gpu_hours": 2}
    assert document["budget"] == limits
    epochs = sum(t["epoch"] for t in document["trials"])
    assert document["spent"]["trials"] == 9
    assert document["spent"]["epochs"] == epochs
    assert set(document["spent"]) == set(limits)
    line = told.lines()[0]
    assert "9 of 9 trials (1 completed, 8 stopped)" in line
    assert f"{epochs} of 100 epochs" in line
    assert line.endswith("0.00 of 2 GPU-hours")


def test_status_says_whether_a_rung_foretells_the_next(tmp_path: Path) -> None:
    told = summary(tmp_path, trials=30)
    rungs = told.as_dict()["rungs"]
    assert [r["rung"] for r in rungs] == [1, 3, 9]
    assert rungs[0]["trials"] == 30
    assert rungs[0]["correlation"] == pytest.approx(1.0), "the toy's curves never cross"
    assert any(line.startswith("epoch 1 and epoch 3: rank") for line in told.lines())


def test_trials_at_a_rung_count_as_stopped_once_the_budget_is_used_up(
    tmp_path: Path,
) -> None:
    told = summary(tmp_path)
    assert told.counts == {"completed": 1, "stopped": 8}
    outcomes = [t["outcome"] for t in told.as_dict()["trials"]]
    assert outcomes.count("stopped") == 8


def test_status_says_in_words_that_no_configuration_is_left(tmp_path: Path) -> None:
    told = summary(tmp_path)
    words = "every configuration of the space has a trial"
    assert not any(line.startswith(words) for line in told.lines())
    exhausted = replace(told, state=replace(told.state, search_ended="exhausted"))
    (line,) = [line for line in exhausted.lines() if line.startswith(words)]
    assert "--edit" in line
    assert exhausted.as_dict()["ended"] == "exhausted"


def test_status_says_how_much_of_the_disk_a_study_takes(tmp_path: Path) -> None:
    told = summary(tmp_path)
    (tmp_path / "trials/00000/attempt-1/checkpoints/last.ckpt").write_bytes(b"0" * 2000)
    told = replace(told, disk=disk_use(tmp_path))
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    disk = told.as_dict()["disk"]
    assert disk["bytes"] == sum(p.stat().st_size for p in files)
    in_checkpoints = [p for p in files if p.parent.name == "checkpoints"]
    assert disk["checkpoint_bytes"] == sum(p.stat().st_size for p in in_checkpoints)
    assert disk["checkpoint_bytes"] >= 2000
    line = next(line for line in told.lines() if line.startswith("folder: "))
    assert "checkpoints 2 kB" in line


def test_a_budget_that_ends_before_a_trial_is_complete_is_no_failure(
    tmp_path: Path,
) -> None:
    scheduler = Asha(epochs=9, min_epochs=1, eta=3)
    rules = {"trials": None, "epoch_budget": 9, "concurrent": 8}
    state = Bench(tmp_path, scheduler, rules=rules).session()
    assert state.ended == "epochs"
    assert state.best is None
    budget, fidelity = Budget(epochs=9), Fidelity((Level(0, 9),))
    told = StudySummary(tmp_path, state, "eV", budget, disk_use(tmp_path), fidelity)
    told.require_success()
    deepest = max(max(t.rung_values) for t in state.trials)
    there = [t for t in state.trials if deepest in t.rung_values]
    best = min(there, key=lambda t: t.rung_values[deepest])
    words = f"best of the deepest rung: trial {best.number} at epoch {deepest}"
    (line,) = [line for line in told.lines() if "no trial is complete" in line]
    assert words in line
    nothing = replace(told, state=StudyState())
    with pytest.raises(NoTrialSucceededError, match="none was started"):
        nothing.require_success()


def test_a_search_that_gave_up_is_no_success_and_says_why(tmp_path: Path) -> None:
    plan = {str(n): {"do": "data", "epoch": 1} for n in range(3, 99)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    told = summary(tmp_path, trials=99)
    assert told.as_dict()["ended"] == "failures"
    last = f"trial {len(told.state.trials) - 1} with: the store is damaged; mend"
    assert last in told.lines()[-1]
    with pytest.raises(InfrastructureError, match=last) as caught:
        told.require_success()
    assert "--resume" in str(caught.value)
    set_aside = tuple(replace(t, outcome=Outcome.OUTSIDE) for t in told.state.trials)
    edited = replace(told, state=replace(told.state, trials=set_aside))
    assert "first epoch; mend" in edited.lines()[-1]
    assert study_view(told.state, tmp_path, {}).status == "FAILED"
