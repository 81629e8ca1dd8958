"""What a worker says to the driver, one JSON text per message."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from search.trial.outcome import Outcome
from sitenet_core.config import StrictModel

Metrics = dict[str, float | int | None]


class EpochMessage(StrictModel):
    """An epoch ended and its checkpoint is on disk."""

    kind: Literal["epoch"] = "epoch"
    epoch: int
    metrics: Metrics
    checkpoint: str | None = None


class FinishedMessage(StrictModel):
    """The segment reached its target epoch."""

    kind: Literal["finished"] = "finished"
    epoch: int
    checkpoint: str | None = None
    bundle: str | None = None


class FailedMessage(StrictModel):
    """The segment failed; also what `outcome.json` holds."""

    kind: Literal["failed"] = "failed"
    outcome: Outcome
    message: str
    traceback: str | None = None
    micro_batch: int | None = None
    """For want of memory: the most that went through the network at once; None outside
    a training."""
    smallest: bool = False
    """For want of memory: whether less at once would not have taken less."""
    checkpoint_lost: bool = False
    """Whether a checkpoint could not be read, so that nothing goes on from it."""


Message = Annotated[
    EpochMessage | FinishedMessage | FailedMessage, Field(discriminator="kind")
]
_ADAPTER: TypeAdapter[EpochMessage | FinishedMessage | FailedMessage] = TypeAdapter(
    Message
)


def read_message(text: str | bytes) -> EpochMessage | FinishedMessage | FailedMessage:
    """Return the message that `text` holds.

    Raises:
        ValidationError: if it holds none.
    """
    return _ADAPTER.validate_json(text)
