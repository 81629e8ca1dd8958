"""What a person sees while a study runs."""

import io
from pathlib import Path

from rich.console import Console
from support.conducted_study import Bench

from search.engine.budget import Budget, Spent
from search.journal import StudyState
from search.study.live import Lines, table_of


def text_of(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_trials_best_and_budget(tmp_path: Path) -> None:
    state = Bench(tmp_path).session()
    spent = Spent(5, 20, 20, seconds=30.0, gpu_seconds=1800.0)
    budget = Budget(trials=5, seconds=120.0, gpu_seconds=7200.0)
    text = text_of(table_of(state, budget, spent))
    assert state.best is not None
    assert f"best {state.best.value:.5g} (trial {state.best.number})" in text
    caption = "5 of 5 trials · 20 epochs · 0.5 of 2 min · 0.50 of 2 GPU-hours"
    assert caption in " ".join(text.split())
    assert text.count("completed") == 5
    assert "4/4" in text


def test_without_a_terminal_rungs_and_ends_are_one_line_each(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rules={"trials": 1})
    first = bench.session()
    bench.rules = {"trials": 2}
    second = bench.session()
    console = Console(file=io.StringIO(), width=20)
    lines = Lines(console)
    for state in (first, second, second):
        lines.show(state)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()
    assert len(shown) == len(set(shown))
    assert [line.split(",")[0] for line in shown] == [
        "trial 0 reached epoch 4",
        "trial 0 completed",
        "trial 1 reached epoch 4",
        "trial 1 completed",
    ]


def test_a_later_session_does_not_repeat_what_was_printed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rules={"trials": 1})
    bench.session()
    bench.rules = {"trials": 2}
    console = Console(file=io.StringIO(), width=200)
    Lines(console).show(bench.session())
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


def test_an_empty_study_can_be_shown() -> None:
    state = StudyState()
    text = text_of(table_of(state, Budget(trials=1), Spent.of(state)))
    assert "no trial completed yet" in text
