"""What earlier studies hand on to a new one: pure functions over what they tried."""

from search.engine.ranking import ranks
from search.engine.warm_start.carried import StudyNote, WarmStart, carry_over
from search.engine.warm_start.earlier_study import EarlierStudy, EarlierTrial
from search.engine.warm_start.portfolio import PORTFOLIO
from search.engine.warm_start.translation import Translation, UntranslatableError

__all__ = [
    "PORTFOLIO",
    "EarlierStudy",
    "EarlierTrial",
    "StudyNote",
    "Translation",
    "UntranslatableError",
    "WarmStart",
    "carry_over",
    "ranks",
]
