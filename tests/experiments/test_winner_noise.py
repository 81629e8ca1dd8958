"""The benchmark of winners, on a small table made by a formula."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.winner_noise import run
from experiments.benchmarks.winner_noise.choices import (
    DEFAULT,
    NO_RERUNS,
    Rule,
    journalled,
    name_winner,
    with_search_value,
)
from experiments.benchmarks.winner_noise.report import report, wilson
from experiments.benchmarks.winner_noise.studies import (
    N_TRIALS,
    Job,
    Search,
    load_search,
    save_search,
    search,
)
from experiments.benchmarks.winner_noise.tables import Table, task_names
from search.journal import PromotionRerun
from search.space import Space

N_VALUES = 6


def toy_table(noise: float = 0.01, name: str = "Toy/bowl") -> Table:
    """Return 216 configurations whose errors are a bowl, with noise, for 4 seeds."""
    grid = np.indices((N_VALUES,) * 3).reshape(3, -1).T
    true = 0.2 + 0.01 * ((grid - 2) ** 2).sum(axis=1)
    numbers = np.random.default_rng(0)
    axis = {"type": "integer", "low": 0, "high": N_VALUES - 1}
    space = Space.model_validate(
        {
            "name": name,
            "family": "table",
            "preset": "table",
            "parameters": dict.fromkeys("abc", axis),
        }
    )
    return Table(
        name=name,
        space=space,
        rows={tuple(row): k for k, row in enumerate(grid.tolist())},
        errors=true[:, None] + numbers.normal(0, noise, (len(true), 4)),
        seconds=np.ones((len(true), 4)),
        parameters=np.arange(len(true)),
        is_accuracy=False,
    )


def test_a_study_is_the_searchers_own_and_comes_back_from_the_cache(
    tmp_path: Path,
) -> None:
    table, job = toy_table(), Job("Toy/bowl", "random", 6)
    found = search(table, job)
    assert found == search(table, job)
    assert len(found.rows) == N_TRIALS
    assert len(set(found.rows)) > 90
    assert found.search_seed == 2
    assert sorted(found.further_seeds(table)) == [0, 1, 3]
    assert load_search(job, tmp_path) is None
    save_search(found, job, tmp_path)
    assert load_search(job, tmp_path) == found


def test_the_reruns_are_the_tables_values_for_seeds_the_search_did_not_have() -> None:
    table = toy_table()
    found = search(table, Job("Toy/bowl", "random", 0))
    state = journalled(table, found, Rule(3, 2))
    reruns = [e for e in state.promotion if isinstance(e, PromotionRerun)]
    assert len(reruns) == 6
    for rerun in reruns:
        assert rerun.seed != found.search_seed
        assert rerun.value == table.errors[found.rows[rerun.trial], rerun.seed]


def test_a_lucky_trial_wins_without_reruns_and_loses_with_them() -> None:
    table = toy_table(noise=0.0)
    rows = list(range(100))
    best = min(rows, key=lambda row: table.errors[row, 0])
    lucky = max(rows, key=lambda row: table.errors[row, 0])
    table.errors[lucky] = table.errors[best] + 0.05
    table.errors[lucky, 0] = table.errors[best, 0] - 0.1
    found = Search(tuple(rows), 0)
    without = name_winner(table, found, NO_RERUNS)
    assert (without.choice.trial, without.within) == (lucky, False)
    assert without.true_optimism > 0.1
    named = name_winner(table, found, DEFAULT)
    assert (named.choice.trial, named.within) == (best, True)
    assert not with_search_value(table, found, Rule(2, 1))


def test_within_one_percent_is_of_the_accuracy_or_of_the_loss() -> None:
    table = toy_table(noise=0.0)
    table.errors[0], table.errors[1] = 0.100, 0.105
    accuracies = Table(**{**vars(table), "is_accuracy": True})
    assert accuracies.within(1, [0, 1])  # 0.895 against 0.9
    assert not accuracies.within_error(1, [0, 1])
    assert not table.within(1, [0, 1])


def test_one_command_writes_report_results_and_manifest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "load_table", lambda name: toy_table(name=name))
    monkeypatch.setattr(run, "task_names", lambda: ["Toy/bowl", "Toy/other"])
    monkeypatch.setattr(run, "digest", lambda _: "ab" * 32)
    monkeypatch.setattr(run, "version", lambda _: "1")
    monkeypatch.setattr(run, "git", lambda *_: "")
    arguments = ["run", "--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    arguments += ["--seeds", "3", "--searchers", "random"]
    monkeypatch.setattr("sys.argv", arguments)
    run.main()
    text = (tmp_path / "report.md").read_text()
    assert "## Studies by `random`: 6" in text
    assert "| Toy/other | 3 |" in text
    assert "target 90%" in text
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["studies"] == {"random": 6}
    assert str(tmp_path) not in json.dumps(content)
    monkeypatch.setattr(run, "search", None)  # a second run searches nothing
    run.main()
    assert (tmp_path / "report.md").read_text() == text


def test_shares_are_given_for_tables_with_an_unseen_seed_too() -> None:
    outcome = {"within": True, "within_error": True, "expected_optimism": None}
    studies = {
        f"{name}/0": {Rule(k, 2).name: {**outcome, "unseen_seeds": n} for k in (2, 3)}
        for name, n in (("a", 0), ("b", 1))
    }
    text = report({"random": studies})
    (row,) = (line for line in text.splitlines() if line.startswith("| 2, unseen |"))
    assert row.endswith("| – | – | 1 |")
    assert row.startswith("| 2, unseen | 100.0% [21–100] | 100.0%")


def test_the_interval_of_a_share_is_wilsons() -> None:
    share, low, high = wilson(9, 10)
    assert (share, low, high) == pytest.approx((0.9, 0.5958, 0.9821), abs=1e-4)


def test_the_tasks_are_those_of_the_package() -> None:
    assert len(task_names()) == len(set(task_names())) == 15
