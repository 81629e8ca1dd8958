"""The journal of a study: its only truth, and the state that follows from it."""

from search.journal.events import (
    CheckpointGivenUp,
    EpochDone,
    Event,
    PromotionRegistered,
    PromotionRerun,
    PromotionReruns,
    PromotionStarted,
    PromotionTested,
    PromotionTrained,
    SegmentFailed,
    SegmentFinished,
    SegmentStarted,
    SessionEnded,
    SessionStarted,
    SetAside,
    StudyCreated,
    StudyEdited,
    TrialCreated,
    TrialFinished,
)
from search.journal.journal import Clock, Entry, Journal, read_journal
from search.journal.records import TrialRecord, objective_at
from search.journal.state import StudyState
from search.journal.trials import OBJECTIVE, TrialDetails

__all__ = [
    "OBJECTIVE",
    "CheckpointGivenUp",
    "Clock",
    "Entry",
    "EpochDone",
    "Event",
    "Journal",
    "PromotionRegistered",
    "PromotionRerun",
    "PromotionReruns",
    "PromotionStarted",
    "PromotionTested",
    "PromotionTrained",
    "SegmentFailed",
    "SegmentFinished",
    "SegmentStarted",
    "SessionEnded",
    "SessionStarted",
    "SetAside",
    "StudyCreated",
    "StudyEdited",
    "StudyState",
    "TrialCreated",
    "TrialDetails",
    "TrialFinished",
    "TrialRecord",
    "objective_at",
    "read_journal",
]
