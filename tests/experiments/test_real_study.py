"""The comparison of searches on real crystals: its studies and its report."""

from pathlib import Path

import pytest

from experiments.benchmarks.real_study.report import EPOCHS, MARKS, report
from experiments.benchmarks.real_study.studies import ALGORITHMS, Search
from search.engine.schedulers import Asha
from search.journal import EpochDone, Journal, StudyCreated
from search.study import load_study
from search.study.session import make_engine

BUDGET = EPOCHS * MARKS[-1]


def curve(error: float) -> tuple[float, ...]:
    return tuple(max(error, 1.0 - epoch / 100) for epoch in range(BUDGET))


def test_the_default_is_what_a_study_has_that_names_no_algorithm(
    tmp_path: Path,
) -> None:
    files = {name: Search(name, 3, tmp_path)._write() for name in ALGORITHMS}
    studies = {name: load_study(file) for name, file in files.items()}
    for study in studies.values():
        assert study.config.budget.epochs == BUDGET
        assert study.base.training.epochs == EPOCHS
        assert study.config.algorithm.seed == study.config.data.split.seed == 3
    assert studies["default"].config.algorithm.searcher == "gaussian"
    default = make_engine(studies["default"]).scheduler
    assert isinstance(default, Asha)
    assert default.rungs == (3, 9, 27)
    assert make_engine(studies["random"]).scheduler.rungs == (27,)


def test_a_trace_is_the_best_of_all_epochs_so_far(tmp_path: Path) -> None:
    search = Search("random", 0, tmp_path)
    (tmp_path / search.name).mkdir()
    journal = Journal.open(tmp_path / search.name / "journal.jsonl")
    journal.append(StudyCreated(name="s", study_digest="s", space_digest="p"))
    values = [0.5, 0.7, 0.3, *[0.4] * BUDGET]
    for number, value in enumerate(values, start=1):
        metrics = {"val_mae": value}
        journal.append(EpochDone(trial=0, attempt=1, epoch=number, metrics=metrics))
    trace = search.best_so_far()
    assert trace[:4] == (0.5, 0.5, 0.3, 0.3)
    assert len(trace) == BUDGET, "nothing is run, and no epoch beyond the budget counts"


def test_the_report_pairs_the_default_with_every_other_search() -> None:
    found = {
        "default": {seed: curve(0.1 + seed / 100) for seed in range(6)},
        "random": {seed: curve(0.2 + seed / 100) for seed in range(6)},
    }
    text = report(found)
    last = next(line for line in text.splitlines() if line.startswith("| random"))
    assert "0.2250" in last
    against = text.split("better / equal / worse:")[1].splitlines()
    (row,) = [line for line in against if "random, full" in line and "p " in line]
    assert row.count("-0.1000 (-0.1000 … -0.1000), p 0.031, 6/0/0") == len(MARKS)
    assert report({**found, "random": found["default"]}).count("0/6/0") == len(MARKS)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_a_label(name: str) -> None:
    curves = {seed: curve(0.1) for seed in range(2)}
    assert report({"default": curves, name: curves})
