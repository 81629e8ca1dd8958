"""Which segment runs next: pure functions of the records, without Ray."""

from search.engine.schedulers.asha import Asha
from search.engine.schedulers.factory import MODES, SCHEDULERS, make_scheduler
from search.engine.schedulers.none import FullTraining
from search.engine.schedulers.protocol import (
    Continue,
    Decision,
    NewTrial,
    Scheduler,
    continue_interrupted,
)
from search.engine.schedulers.stopping_asha import StoppingAsha

__all__ = [
    "MODES",
    "SCHEDULERS",
    "Asha",
    "Continue",
    "Decision",
    "FullTraining",
    "NewTrial",
    "Scheduler",
    "StoppingAsha",
    "continue_interrupted",
    "make_scheduler",
]
