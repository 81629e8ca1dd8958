"""The benchmark of histories, on bowls in place of the surrogate."""

import argparse
from pathlib import Path

import pytest
from support.analytic_suite import Bowls

from experiments.benchmarks.warm_start.report import report
from experiments.benchmarks.warm_start.run import measure, searches
from experiments.benchmarks.warm_start.searches import (
    HISTORIES,
    Search,
    reversed_study,
)
from search.engine.warm_start import EarlierStudy, EarlierTrial


def search(history: str, seed: int = 0) -> Search:
    return Search("asha-random", history, Bowls().tasks[0], seed, 4, 6)  # type: ignore[arg-type]


def test_a_true_history_helps_from_the_first_training_on(tmp_path: Path) -> None:
    cold, warm = (search(h).result(Bowls(), tmp_path) for h in ("none", "true"))
    assert warm[0] < cold[0]


def test_a_lie_about_the_very_task_starts_worse_and_searches_on(tmp_path: Path) -> None:
    cold, misled = (
        search(h).result(Bowls(), tmp_path) for h in ("none", "reversed-own")
    )
    assert misled[0] >= cold[0]
    assert misled[-1] < misled[0]


def test_the_worst_passes_for_the_best(tmp_path: Path) -> None:
    del tmp_path
    trials = tuple(
        EarlierTrial(number=k, configuration={"x": 0.1 * k}, rank=k / 4)
        for k in range(5)
    )
    lie = reversed_study(EarlierStudy(name="a", place="b", trials=trials))
    assert [t.rank for t in lie.trials] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert [t.configuration for t in lie.trials] == [t.configuration for t in trials]


def test_a_search_is_not_repeated_and_the_report_has_every_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = argparse.Namespace(
        seeds=1, trainings=5, earlier_trainings=6, methods=("asha-random",)
    )
    wanted = searches(options, Bowls().tasks[:2])
    found = measure(wanted, Bowls(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Search, "_regrets", None)
        assert measure(wanted, Bowls(), tmp_path) == found
    text = report(found, 5, 6)
    assert text.count("ranks turned round |") == 4
    assert "2 tasks, 1 seeds" in text
    assert len(found["asha-random"]) == len(HISTORIES)
