"""What a scheduler is: it reads the records and says which segment runs next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from search.journal.records import TrialRecord


@dataclass(frozen=True)
class Continue:
    """Train trial `trial` on, from its last checkpoint to the end of `until_epoch`."""

    trial: int
    until_epoch: int


@dataclass(frozen=True)
class NewTrial:
    """Ask the searcher for a configuration and train it to `until_epoch`."""

    until_epoch: int


Decision = Continue | NewTrial | None
"""None: nothing can be started now. With segments running, ask again when one ends;
with none running, the study is over."""


class Scheduler(Protocol):
    """Pure over the records: no state, no clock, no random numbers."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials are compared, ascending; the last is a full trial."""
        ...

    def next_segment(
        self, records: Sequence[TrialRecord], *, may_create: bool = True
    ) -> Decision:
        """Return what a free slot does.

        Interrupted trials (see `TrialRecord.interrupted`) always go on first, so that
        a resumed study does what the uninterrupted one would have done.

        Args:
            records: every trial of the study, in order of number.
            may_create: whether the budget allows one more trial.
        """
        ...

    def without_prospect(
        self, records: Sequence[TrialRecord], trials: int | None
    ) -> tuple[int, ...]:
        """Return the waiting trials whose checkpoint is not worth its space any more.

        Should one of them go on after all, it is trained anew.

        Args:
            records: every trial of the study, in order of number.
            trials: of the budget; None without such a limit.
        """
        ...

    def stops(self, records: Sequence[TrialRecord], number: int) -> bool:
        """Return whether trial `number`, which waits at a rung, ends there for good.

        Any other trial that waits when there is nothing to start any more is not ended:
        with a larger budget it can go on.
        """
        ...


def continue_interrupted(
    records: Sequence[TrialRecord], first_rung: int
) -> Continue | None:
    """Return the continuation of the first interrupted trial, None if there is none."""
    for record in records:
        if record.interrupted:
            return Continue(record.number, record.target_epoch or first_rung)
    return None
