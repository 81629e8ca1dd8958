"""How a trial ended, and what the searcher is told about it."""

from enum import StrEnum


class Outcome(StrEnum):
    """The one final state of a trial; a trial without one is unfinished.

    What the searcher is told (`gaussian` takes the same failures, without a number, for
    its model of where trainings break):

    ======================  =========================================================
    completed               its objective at each rung, the last epoch included
    stopped                 its objective at the rungs it reached; never extrapolated
    failed_oom              a finite penalty: no better than the worst trial seen
    failed_nan              the same penalty
    failed_timeout          the same penalty
    failed_configuration    the same penalty
    failed_exception        the same penalty
    failed_lost_worker      the same penalty: it is the outcome only after the stated
                            number of retries, and a worker that dies each time was
                            most often killed for its memory
    failed_data             nothing: the data are at fault, not the configuration
    cancelled               its objective at the rungs it reached, no penalty: a person
                            or the budget ended it
    outside                 nothing: an edit of the space has left it outside
    ======================  =========================================================

    Values of the rungs that a trial reached before it *failed* are not used: whoever
    proposes such a configuration again gets a failure, not that value.
    """

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED_OOM = "failed_oom"
    FAILED_NAN = "failed_nan"
    FAILED_TIMEOUT = "failed_timeout"
    FAILED_CONFIGURATION = "failed_configuration"
    FAILED_DATA = "failed_data"
    FAILED_EXCEPTION = "failed_exception"
    FAILED_LOST_WORKER = "failed_lost_worker"
    CANCELLED = "cancelled"
    OUTSIDE = "outside"

    @property
    def is_failure(self) -> bool:
        """Whether the trial broke, for whatever reason."""
        return self.value.startswith("failed_")

    @property
    def is_finished(self) -> bool:
        """Whether the trial came to the end that was meant for it (with a value)."""
        return self in {Outcome.COMPLETED, Outcome.STOPPED}

    @property
    def penalised(self) -> bool:
        """Whether the searcher is told a penalty in place of a value."""
        return self.is_failure and self is not Outcome.FAILED_DATA
