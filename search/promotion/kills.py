"""Sessions that a kill ended before they had an epoch to show, from the journal alone.

The kernel kills a process that takes the last memory; no exception tells of it. What is
left is a session without an end. A person's kill, a machine that is switched off and a
time limit leave the same, so one such session says nothing, and a training that goes on
after it is still what it would have been to the last bit. Two in a row without an epoch
between them are taken for a lack of memory. Should that be wrong, a halving costs some
speed and no result: the micro-batches' gradients add up to that of the declared batch,
up to rounding.
"""

from collections.abc import Iterable

from search.journal import Entry, SessionEnded, SessionStarted
from search.journal.events import PromotionDivided, PromotionEpoch

PATIENCE = 2
"""Kills without an epoch in between from which on each one halves."""


def kills_that_halve(entries: Iterable[Entry], model: str) -> int:
    """Return after how many kills there is to be less at once; 0 if there is not.

    A promotion trains one model after the other, in a fixed order. So a session that
    was killed when the division of a model was journalled and the model not finished
    was busy with that model.

    Args:
        entries: of the whole journal, the session that now begins to train included.
        model: name in the journal's events, of a training that is not finished.
    """
    kills: list[int] = []
    divided: int | None = None
    running: int | None = None
    for entry in entries:
        event = entry.event
        if isinstance(event, SessionStarted):
            if running is not None and divided is not None:
                kills.append(running)
            running = event.session if event.purpose == "promotion" else None
        elif isinstance(event, SessionEnded):
            running = None
        elif isinstance(event, PromotionDivided) and event.model == model:
            divided = entry.session
        elif isinstance(event, PromotionEpoch) and event.model == model:
            kills, running = [], None
    is_due = divided is not None and len(kills) >= PATIENCE and kills[-1] >= divided
    return len(kills) if is_due else 0
