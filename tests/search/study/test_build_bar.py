"""What a person sees while a store is built."""

import io
import re

import pytest
from rich.console import Console

from search.study import live
from sitenet_core.data import BuildProgress


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what the bar writes to, a terminal for it."""
    text = io.StringIO()
    clock = iter(range(10_000))

    def console(*, stderr: bool) -> Console:
        assert stderr
        return Console(
            file=text, force_terminal=True, width=120, get_time=lambda: next(clock)
        )

    monkeypatch.setattr(live, "Console", console)
    return text


def last_line(screen: io.StringIO) -> str:
    lines = [line for line in screen.getvalue().split("\r") if "featurising" in line]
    # without the colours
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", lines[-1])


def test_the_bar_shows_counts_rate_and_time_left(screen: io.StringIO) -> None:
    with live.build_bar(shown=True) as on_progress:
        for n_read in range(100, 700, 100):
            on_progress(BuildProgress(n_read, 1000, 0))
    line = last_line(screen)
    assert "600/1000" in line
    assert "/s" in line
    assert "left 0:00:" in line
    assert "resumed" not in line


def test_resumed_crystals_are_shown_and_no_part_of_the_rate(
    screen: io.StringIO,
) -> None:
    with live.build_bar(shown=True) as on_progress:
        for n_read in range(90_000, 90_070, 10):
            on_progress(BuildProgress(n_read, 100_000, 0, n_resumed=90_000))
    line = last_line(screen)
    assert "90060/100000" in line
    assert "90000 resumed" in line
    assert float(line.split("/s")[0].split()[-1]) < 100
