"""A study on the screen while it runs: a table, or lines where there is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from search.engine.budget import Budget, Spent
from search.journal import OBJECTIVE, StudyState, TrialRecord, objective_at
from search.study.limits import used_of_budget
from search.trial.outcome import Outcome

if TYPE_CHECKING:
    from sitenet_core.data import BuildProgress

_ROWS = 15


@contextmanager
def build_bar(*, shown: bool) -> Iterator[Callable[["BuildProgress"], None]]:
    """Yield what takes the progress of a store that is built; a bar, if `shown`.

    Without a terminal there is no bar: all that would be left of it is a blank line.
    """
    console = Console(stderr=True)
    hidden = not (shown and console.is_terminal)
    bar = build_progress(console, hidden=hidden)
    with bar:
        task = bar.add_task("featurising crystals", total=None, visible=False, note="")
        # What an earlier builder did took this one no time, and is no part of its rate.
        offset = 0

        def show(progress: "BuildProgress") -> None:
            nonlocal offset
            done, total = progress.n_read, progress.n_total
            if progress.n_resumed and not offset:
                offset = progress.n_resumed
                bar.reset(task, completed=offset, note=f"{offset} resumed")
            bar.update(task, completed=done, total=total, visible=done < total)

        yield show


def build_progress(console: Console, *, hidden: bool) -> Progress:
    """Return a bar with counts, rate and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=hidden,
    )


class _Rate(ProgressColumn):
    """Crystals per second."""

    def render(self, task: Task) -> Text:
        """Return the rate of the last seconds."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f}/s")


class Display(Protocol):
    """Shows a state."""

    def show(self, state: StudyState) -> None:
        """Show `state`, which differs little or not at all from the one before."""
        ...


class Silent:
    """Shows nothing."""

    def show(self, state: StudyState) -> None:
        """Show nothing."""


LinesOf = Callable[[StudyState, TrialRecord], Iterator[str]]


class Lines:
    """One line per rung that a trial has reached, and per trial that has ended."""

    def __init__(self, console: Console, lines_of: LinesOf | None = None) -> None:
        self._console = console
        self._lines_of = lines_of or _lines
        self._told: set[str] | None = None

    def show(self, state: StudyState) -> None:
        """Print what has happened since the last call."""
        lines = {
            line: None
            for trial in state.trials
            for line in self._lines_of(state, trial)
        }
        if self._told is None:
            # What an earlier session printed is not news.
            self._told = set(lines) if state.session > 1 else set()
        for line in lines:
            if line not in self._told:
                self._console.print(line, highlight=False, soft_wrap=True)
        self._told |= lines.keys()


def _losses(state: StudyState, trial: TrialRecord) -> Iterator[str]:
    """Yield what happened to the files of a trial that goes on."""
    for failure in state.details[trial.number].failures:
        if failure.kind is Outcome.CANCELLED:
            yield f"trial {trial.number} {failure.message}"


def _lines(state: StudyState, trial: TrialRecord) -> Iterator[str]:
    yield from _losses(state, trial)
    for epoch, value in trial.rung_values.items():
        yield f"trial {trial.number} reached epoch {epoch}, {OBJECTIVE} {value:.5g}"
    outcome = state.outcome_of(trial.number)
    if outcome is not None:
        reason = f": {trial.message}" if trial.message else ""
        yield f"trial {trial.number} {outcome}{reason}"


class LiveTable:
    """A table that is drawn anew; what it has no room for is printed above it."""

    def __init__(self, live: Live, budget: Budget) -> None:
        self._live = live
        self._budget = budget
        self._began = time.monotonic()
        self._above = Lines(live.console, _losses)

    def show(self, state: StudyState) -> None:
        """Draw the last trials, the best and the budget."""
        self._above.show(state)
        spent = Spent.of(state, time.monotonic() - self._began)
        self._live.update(table_of(state, self._budget, spent))


@contextmanager
def display(*, shown: bool, budget: Budget) -> Iterator[Display]:
    """Yield a display on standard error that fits what standard error is."""
    if not shown:
        yield Silent()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        yield LiveTable(live, budget)


def table_of(state: StudyState, budget: Budget, spent: Spent) -> Table:
    """Return the newest trials as a table; the caption has the best and the budget."""
    table = Table(title=f"study {state.name}", caption=_caption(state, budget, spent))
    for name in ("trial", "status", "epoch", OBJECTIVE, "train s"):
        table.add_column(name, justify="right")
    alive = [t for t in state.trials if t.outcome is None]
    ended = [t for t in state.trials if t.outcome is not None]
    room = max(_ROWS - len(alive), 0)
    shown = [*(ended[-room:] if room else []), *alive[:_ROWS]]
    for trial in sorted(shown, key=lambda t: t.number):
        seconds = state.details[trial.number].seconds
        table.add_row(
            str(trial.number),
            _status(state, trial),
            f"{trial.last_epoch}/{trial.target_epoch or '-'}",
            _value(trial),
            f"{seconds:.0f}",
            style="bold green" if trial == state.best else None,
        )
    return table


def _caption(state: StudyState, budget: Budget, spent: Spent) -> str:
    best = state.best
    words = "no trial completed yet"
    if best is not None:
        words = f"best {best.value:.5g} (trial {best.number})"
    return " · ".join([words, *used_of_budget(spent, budget)])


def _status(state: StudyState, trial: TrialRecord) -> str:
    outcome = state.outcome_of(trial.number)
    if outcome is not None:
        return str(outcome)
    if trial.running:
        return "running"
    return "interrupted" if trial.interrupted else "waiting"


def _value(trial: TrialRecord) -> str:
    values = trial.epoch_values
    value = objective_at(values, trial.last_epoch, trial.begins_after)
    return "-" if value is None else f"{value:.5g}"
