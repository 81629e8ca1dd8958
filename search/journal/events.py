"""Everything that can happen in a study, one small frozen class per event.

The class's `event` is the name in the journal. A field that a newer version adds must
have a default, so that old journals stay readable.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue

from search.trial.outcome import Outcome
from sitenet_core.config import StrictModel

Metrics = dict[str, float | int | None]


class Event(StrictModel):
    """Base of all events."""

    event: ClassVar[str]


class StudyCreated(Event):
    """The first line of every journal."""

    event: ClassVar[str] = "study_created"
    name: str
    study_digest: str
    space_digest: str
    warm_start_digest: str | None = None
    """Of what earlier studies handed on; None without any."""


class SetAside(StrictModel):
    """Why a trial no longer fits the definition of its study."""

    reason: str
    configuration: dict[str, JsonValue]
    """Its complete configuration as dotted keys: it may fit again after another edit,
    and the space that it comes from is gone by then."""


class StudyEdited(Event):
    """The study goes on with another space; trials that still fit it are kept."""

    event: ClassVar[str] = "study_edited"
    study_digest: str
    space_digest: str
    warm_start_digest: str | None = None
    configurations: dict[int, dict[str, JsonValue]] = Field(default_factory=dict)
    """Trial → its flat configuration in the new space. A kept trial that is missing
    here has the one it had."""
    set_aside: dict[int, SetAside] = Field(default_factory=dict)
    """Trial → why it is not kept; all of them, those of earlier edits included."""


class SessionStarted(Event):
    """A driver took the study's lock."""

    event: ClassVar[str] = "session_started"
    session: int = Field(ge=1)
    host: str
    pid: int
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and packages; `git` is the commit, where this runs in a checkout."""
    purpose: Literal["search", "promotion"] = "search"
    """Only sessions that search count against the study's wall-clock budget."""
    data_digest: str | None = None
    """SHA-256 of the source of the data; None in journals of earlier versions."""
    split_digest: str | None = None


class SessionEnded(Event):
    """A driver ended in good order; after a kill this line is missing."""

    event: ClassVar[str] = "session_ended"
    reason: str
    """`trials`, `epochs`, `wall_clock`, `gpu_hours`, `interrupted`, `error`, or a
    promotion's own word."""


class TrialCreated(Event):
    """A configuration was chosen."""

    event: ClassVar[str] = "trial_created"
    trial: int = Field(ge=0)
    configuration: dict[str, JsonValue]
    source: Literal["known_good", "portfolio", "searcher"]
    seed: int


class SegmentStarted(Event):
    """A segment was handed to a worker; from here only this attempt counts."""

    event: ClassVar[str] = "segment_started"
    trial: int
    attempt: int = Field(ge=1)
    from_epoch: int = Field(ge=0)
    until_epoch: int = Field(ge=1)
    checkpoint: str | None
    """Checkpoint it starts from, relative to the study's folder; None: from nothing."""
    folder: str
    """Folder of the attempt, relative to the study's folder."""
    gpus: float = Field(default=0, ge=0)
    """GPUs that the worker has."""
    begins_after: int = Field(default=0, ge=0)
    """Epochs before this training began anew, at a higher level of the fidelity."""
    micro_batch: int | None = None
    """Most that goes through the network at once, as in `FitOptions`; None is what
    suits the worker's device."""
    predicted_bytes: int | None = None
    """Peak of memory that is expected of it; None where nothing was predicted."""
    memory_bytes: int | None = None
    """Memory that it may use; None if that is not known."""


class EpochDone(Event):
    """An epoch ended and its checkpoint is on disk."""

    event: ClassVar[str] = "epoch"
    trial: int
    attempt: int
    epoch: int = Field(ge=1)
    metrics: Metrics
    checkpoint: str | None = None


class SegmentFinished(Event):
    """A segment reached its target epoch."""

    event: ClassVar[str] = "segment_finished"
    trial: int
    attempt: int
    epoch: int
    checkpoint: str | None
    metrics: Metrics = Field(default_factory=dict)
    bundle: str | None = None
    """Bundle of the trial, made by its last segment, relative to the study's folder."""


class SegmentFailed(Event):
    """A segment ended before its target epoch."""

    event: ClassVar[str] = "segment_failed"
    trial: int
    attempt: int
    kind: Outcome
    """What the trial would be called if this failure ends it; `cancelled` where the
    trial goes on: its disk or data were away, or its checkpoint is lost."""
    message: str
    traceback: str | None = None
    """File with the traceback, relative to the study's folder."""
    micro_batch: int | None = None
    """For want of memory: the most that went through the network at once."""
    smallest: bool = False
    """For want of memory: whether less at once would not have taken less."""

    @property
    def halved(self) -> int | None:
        """The micro-batch with which the trial goes on; None if it does not fit.

        Only lack of memory is mended by that. It says so too where nothing is known of
        what was at once in the memory, as when it ran out before the first batch.
        """
        used = self.micro_batch
        if self.kind is not Outcome.FAILED_OOM or used is None:
            return None
        return None if self.smallest or used < 2 else used // 2


class CheckpointGivenUp(Event):
    """Nothing goes on from the checkpoint of a trial: a segment of it trains anew.

    Either the trial waits at a rung without a prospect of promotion, so that the file
    goes; it may be promoted after all if the budget becomes much larger. Or a segment,
    which failed as `cancelled` just before, has found the file gone or damaged. What
    the trial reached stays.
    """

    event: ClassVar[str] = "checkpoint_given_up"
    trial: int


class TrialFinished(Event):
    """A trial has its outcome; nothing about it changes any more."""

    event: ClassVar[str] = "trial_finished"
    trial: int
    outcome: Outcome
    epoch: int
    value: float | None
    bundle: str | None = None
    message: str = ""


class PromotionCandidate(StrictModel):
    """One of the best trials of a search, as the search saw it."""

    trial: int
    epoch: int
    """Epoch at which it was compared with the others."""
    value: float
    """Its validation objective there."""


class PromotionReruns(Event):
    """Which trials are trained again before one of them is called the best."""

    event: ClassVar[str] = "promotion_reruns"
    started: str
    """ISO 8601, UTC."""
    candidates: list[PromotionCandidate]
    """The best first."""
    seeds: list[int]
    """Further seeds, the same for every candidate; empty: nothing is trained again."""
    folds: list[int]
    """Official folds that validate in turn; empty: the study's own split."""
    tie_within: float
    overlap: float = 0
    """Crystals that validate per crystal that is trained on, where the folds of one
    candidate share training crystals; 0 without folds."""
    without: str = ""
    """Why nothing is trained again; empty if something is."""
    promotion_digest: str | None = None
    """Of the study's section `promotion`, which is fixed from here on."""


class PromotionRerun(Event):
    """A trial was trained again from scratch, with another seed; or that failed."""

    event: ClassVar[str] = "promotion_rerun"
    trial: int
    seed: int
    fold: int | None = None
    """Official fold that validated; None: the study's own split."""
    value: float | None
    """Validation objective at the last epoch; None if the training failed."""
    seconds: float
    """Wall-clock seconds of all epochs."""
    epochs: int
    parameters: int | None = None
    message: str = ""
    """Why it failed."""


def rerun_model(trial: int, seed: int, fold: int | None = None) -> str:
    """Return the name of a rerun in the `model` of its epochs' events."""
    name = f"trial-{trial:05d}-seed-{seed}"
    return name if fold is None else f"{name}-fold-{fold}"


class PromotionStarted(Event):
    """A trial was chosen for the long training."""

    event: ClassVar[str] = "promotion_started"
    trial: int
    plan: dict[str, JsonValue]
    promotion_digest: str | None = None
    """Of the study's section `promotion`, which is fixed from here on."""


class PromotionDivided(Event):
    """How a long training or a rerun is divided from here on."""

    event: ClassVar[str] = "promotion_divided"
    model: str
    """As in `PromotionEpoch`."""
    micro_batch: int | None = None
    """As in `SegmentStarted`."""
    predicted_bytes: int | None = None
    memory_bytes: int | None = None
    message: str = ""
    """How memory ran out before it was halved, or that kills made it likely; empty at
    the beginning."""


class PromotionEpoch(Event):
    """An epoch of a long training ended and its checkpoint is on disk."""

    event: ClassVar[str] = "promotion_epoch"
    model: str
    """`winner`, a reference as the study names it (`preset:paper`), or a rerun."""
    epoch: int = Field(ge=1)
    metrics: Metrics


class PromotionTrained(Event):
    """The long training, or a reference's, has left a bundle."""

    event: ClassVar[str] = "promotion_trained"
    model: str
    bundle: str
    metrics: Metrics


class PromotionFailed(Event):
    """A reference could not be trained; the promotion goes on without it."""

    event: ClassVar[str] = "promotion_failed"
    model: str
    message: str


class PromotionTesting(Event):
    """From here on the test set counts as seen, whether or not a result follows."""

    event: ClassVar[str] = "promotion_testing"
    models: list[str]


class PromotionTested(Event):
    """A model met the test set, once."""

    event: ClassVar[str] = "promotion_tested"
    model: str
    metrics: Metrics


class PromotionRegistered(Event):
    """The promoted model is in the registry; the last one says under which number."""

    event: ClassVar[str] = "promotion_registered"
    name: str
    version: str
    alias: str
    tags: dict[str, str] = Field(default_factory=dict)
    """What was written beside the version; empty in journals of earlier versions."""


_EVENTS: tuple[type[Event], ...] = (
    StudyCreated,
    StudyEdited,
    SessionStarted,
    SessionEnded,
    TrialCreated,
    SegmentStarted,
    EpochDone,
    SegmentFinished,
    SegmentFailed,
    CheckpointGivenUp,
    TrialFinished,
    PromotionReruns,
    PromotionRerun,
    PromotionStarted,
    PromotionDivided,
    PromotionEpoch,
    PromotionTrained,
    PromotionFailed,
    PromotionTesting,
    PromotionTested,
    PromotionRegistered,
)
EVENT_TYPES: dict[str, type[Event]] = {kind.event: kind for kind in _EVENTS}


def event_from(name: str, payload: dict[str, Any]) -> Event:
    """Return the event called `name` with the fields in `payload`.

    Raises:
        KeyError: if no event has this name.
        ValidationError: if the fields do not fit.
    """
    return EVENT_TYPES[name].model_validate(payload)
