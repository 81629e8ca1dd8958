"""Which segment runs next: pure functions of the records, without Ray."""

from search.engine.schedulers.asha import Asha
from search.engine.schedulers.factory import SCHEDULERS, make_scheduler
from search.engine.schedulers.none import FullTraining
from search.engine.schedulers.protocol import (
    Continue,
    Decision,
    NewTrial,
    Scheduler,
    continue_interrupted,
)

__all__ = [
    "SCHEDULERS",
    "Asha",
    "Continue",
    "Decision",
    "FullTraining",
    "NewTrial",
    "Scheduler",
    "continue_interrupted",
    "make_scheduler",
]
