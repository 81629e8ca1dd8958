"""No scheduler: every trial is trained to its full length."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.engine.schedulers.protocol import (
    Decision,
    NewTrial,
    continue_interrupted,
)
from search.journal.records import TrialRecord


@dataclass(frozen=True)
class FullTraining:
    """One rung: the last epoch."""

    epochs: int
    """Length of a full trial."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """The last epoch alone."""
        return (self.epochs,)

    def next_segment(
        self, records: Sequence[TrialRecord], *, may_create: bool = True
    ) -> Decision:
        """Return the first interrupted trial, else a new one if the budget allows."""
        interrupted = continue_interrupted(records, self.epochs)
        if interrupted is not None:
            return interrupted
        return NewTrial(self.epochs) if may_create else None

    def without_prospect(
        self,
        records: Sequence[TrialRecord],  # noqa: ARG002
        trials: int | None,  # noqa: ARG002
    ) -> tuple[int, ...]:
        """Return none: no trial waits."""
        return ()

    def stops(self, records: Sequence[TrialRecord], number: int) -> bool:  # noqa: ARG002
        """Return False: there is no rung to stop at."""
        return False
