"""Every error this project raises on purpose, sorted by who can act on it.

    SiteNetError
    ├── ConfigError               the user mends a file or a command line       exit 2
    │   ├── LocatedError          lines FILE:LINE:COLUMN: key: message          exit 2
    │   └── StudyInUseError       another driver holds the study                exit 2
    ├── DataError                 the user mends the data set                   exit 3
    │   ├── StructureError        one crystal cannot be used: a row, not a stop
    │   ├── StoreError            a packed store is damaged or of another version
    │   └── CheckpointError       a training cannot go on from its checkpoint
    ├── NoTrialSucceededError     the study has nothing to show                 exit 4
    ├── TrialError                one training failed; a study goes on          exit 4
    │   ├── NonFiniteLossError
    │   ├── OutOfMemoryError
    │   └── TrialTimeoutError
    └── InfrastructureError       Ray, MLflow or the disk                       exit 5

A message says what was read, where, what was allowed and what to do.
"""

from typing import ClassVar


class SiteNetError(Exception):
    """Root of the tree; `exit_code` is what the command line returns for it."""

    exit_code: ClassVar[int] = 5


class ConfigError(SiteNetError):
    """A configuration, space, study file or command line is wrong."""

    exit_code: ClassVar[int] = 2


class LocatedError(ConfigError):
    """A YAML file is wrong; the message is `FILE:LINE:COLUMN: key: message` lines.

    The command line prints them as they are, so that editors can follow them.
    """


class StudyInUseError(ConfigError):
    """Another driver holds the lock of the study."""


class DataError(SiteNetError):
    """A data set as a whole cannot be used."""

    exit_code: ClassVar[int] = 3


class StructureError(DataError):
    """One crystal cannot be used; the message is the reason in its report row."""


class StoreError(DataError):
    """A packed store is damaged, unfinished or of another schema version."""


class CheckpointError(DataError):
    """A checkpoint is gone, damaged or of another version; start afresh."""


class NoTrialSucceededError(SiteNetError):
    """No trial of the study completed, so there is nothing to promote."""

    exit_code: ClassVar[int] = 4


class TrialError(SiteNetError):
    """One training failed in a way that is known; a study goes on.

    The exit code is that of `sitenet train` and `sitenet promote`, which have no other.
    """

    exit_code: ClassVar[int] = 4


class NonFiniteLossError(TrialError):
    """The loss became NaN or infinite."""


class OutOfMemoryError(TrialError):
    """The device or the host had no memory left for this configuration.

    Args:
        message: what was done, and what to do.
        micro_batch: the most that went through the network at once, in the unit of
            `ModelFamily.micro_batch`; None outside a training.
        smallest: whether less at once would have taken no less memory.
    """

    def __init__(
        self,
        message: str = "",
        micro_batch: int | None = None,
        *,
        smallest: bool = False,
    ) -> None:
        super().__init__(message)
        self.micro_batch = micro_batch
        self.smallest = smallest


class TrialTimeoutError(TrialError):
    """The trial used up its time."""


class InfrastructureError(SiteNetError):
    """Ray, MLflow or the disk failed; the operator acts."""

    exit_code: ClassVar[int] = 5
