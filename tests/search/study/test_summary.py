"""What `search status` says of a study."""

import json
from pathlib import Path

from support.conducted_study import Bench
from support.readme_keys import keys

from search.engine.budget import Budget
from search.engine.schedulers import Asha
from search.study.summary import StudySummary


def summary(folder: Path, trials: int = 9) -> StudySummary:
    bench = Bench(folder, Asha(epochs=9, min_epochs=1, eta=3), rules={"trials": trials})
    budget = Budget(trials=trials, epochs=100, gpu_seconds=7200.0)
    return StudySummary(folder, bench.session(), "eV", budget)


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


def test_trials_at_a_rung_count_as_stopped_once_the_budget_is_used_up(
    tmp_path: Path,
) -> None:
    told = summary(tmp_path)
    assert told.counts == {"completed": 1, "stopped": 8}
    outcomes = [t["outcome"] for t in told.as_dict()["trials"]]
    assert outcomes.count("stopped") == 8
