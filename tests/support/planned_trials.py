"""Journals of studies with trials in every state, drawn by Hypothesis."""

from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import strategies as st

from search.journal import (
    EpochDone,
    SegmentFailed,
    SegmentFinished,
    SegmentStarted,
    SessionEnded,
    SessionStarted,
    TrialCreated,
    TrialFinished,
)
from search.journal.events import Event
from search.trial.outcome import Outcome

RUNGS = (2, 4, 6)
_ENDS = (
    Outcome.STOPPED,
    Outcome.CANCELLED,
    Outcome.FAILED_NAN,
    Outcome.FAILED_DATA,
    None,
)
_values = st.none() | st.sampled_from([0.1, 0.2, 0.3]) | st.floats(0.01, 10)


@dataclass(frozen=True)
class PlannedTrial:
    """What happens to one trial."""

    rate: float
    values: tuple[float | None, ...]
    """Validation value of each epoch up to the last rung."""
    rungs: int
    """How many it reaches."""
    beyond: tuple[int, ...]
    """Epochs, up to the next rung, of the attempts that were lost on the way there."""
    keeps: bool
    """Whether an attempt goes on from the checkpoint of the one before."""
    end: Outcome | None

    def events(self, number: int, *, anew: bool) -> Iterator[Event]:
        """Yield its events.

        Args:
            number: of the trial.
            anew: whether every rung is a training of its own.
        """
        flat = {"optimizer.learning_rate": self.rate}
        yield TrialCreated(
            trial=number, configuration=flat, source="searcher", seed=number
        )
        attempt = last = 0
        for rung in RUNGS[: self.rungs]:
            attempt += 1
            start = self._started(number, attempt, last, rung, last if anew else 0)
            yield from (start, *self._epochs(start, rung))
            ids = {"trial": number, "attempt": attempt}
            yield SegmentFinished(**ids, epoch=rung, checkpoint="c")
            last = rung
        yield from self._lost(number, attempt, last, anew=anew)
        end = Outcome.COMPLETED if last == RUNGS[-1] else self.end
        if end is not None:
            yield TrialFinished(trial=number, outcome=end, epoch=last, value=None)

    def _lost(
        self, number: int, attempt: int, rung: int, *, anew: bool
    ) -> Iterator[Event]:
        """Yield the attempts on the way to the next rung, none of which gets there."""
        if rung == RUNGS[-1]:
            return
        begins_after, reached = rung if anew else 0, rung
        for beyond in self.beyond:
            attempt += 1
            start = reached if self.keeps else begins_after
            until = max(rung + beyond, start)
            segment = self._started(number, attempt, start, rung + 2, begins_after)
            yield from (segment, *self._epochs(segment, until))
            reached = until
            ids = {"trial": number, "attempt": attempt}
            lost = Outcome.FAILED_LOST_WORKER
            yield SegmentFailed(**ids, kind=lost, message="lost")

    def _started(
        self, number: int, attempt: int, start: int, until: int, begins_after: int
    ) -> SegmentStarted:
        return SegmentStarted(
            trial=number,
            attempt=attempt,
            from_epoch=start,
            until_epoch=until,
            checkpoint="c" if start > begins_after else None,
            folder=f"trials/{number:05d}/attempt-{attempt}",
            begins_after=begins_after,
        )

    def _epochs(self, start: SegmentStarted, until: int) -> Iterator[EpochDone]:
        for epoch in range(start.from_epoch + 1, until + 1):
            # What is repeated comes out otherwise.
            value = self.values[(epoch + start.attempt) % len(self.values)]
            yield EpochDone(
                trial=start.trial,
                attempt=start.attempt,
                epoch=epoch,
                metrics={"val_mae": value, "seconds": 1.0},
            )


def planned_trials() -> st.SearchStrategy[list[PlannedTrial]]:
    """Return lists of trials of which any may be in any state."""
    trial = st.builds(
        PlannedTrial,
        rate=st.floats(1e-4, 1e-2),
        values=st.tuples(*[_values] * RUNGS[-1]),
        rungs=st.integers(0, len(RUNGS)),
        beyond=st.lists(st.integers(0, 1), max_size=2).map(tuple),
        keeps=st.booleans(),
        end=st.sampled_from(_ENDS),
    )
    return st.lists(trial, min_size=1, max_size=5)


def ended(reason: str | None) -> Iterator[Event]:
    """Yield the end of a session; none for a driver that was killed."""
    if reason is not None:
        yield SessionEnded(reason=reason)


def begun() -> SessionStarted:
    """Return the start of a session."""
    return SessionStarted(session=1, host="here", pid=1)
