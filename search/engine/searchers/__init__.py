"""What is tried next: ask/tell over the journal's records, without Ray."""

from search.engine.searchers.factory import SEARCHERS, make_searcher
from search.engine.searchers.proposal import Proposal, next_proposal
from search.engine.searchers.protocol import (
    NO_EARLIER,
    Earlier,
    Observation,
    Searcher,
)
from search.engine.searchers.untried import is_exhausted

__all__ = [
    "NO_EARLIER",
    "SEARCHERS",
    "Earlier",
    "Observation",
    "Proposal",
    "Searcher",
    "is_exhausted",
    "make_searcher",
    "next_proposal",
]
