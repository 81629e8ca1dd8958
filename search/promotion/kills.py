"""Sessions that a kill ended before they had an epoch to show, from the journal alone.

The kernel kills a process that takes the last memory; no exception tells of it. What is
left is a session without an end. A person's kill, a machine that is switched off and a
time limit leave the same, so one such session says nothing, and a training that goes on
after it is still what it would have been to the last bit. Two such sessions in a row
are taken for a lack of memory; with an epoch that ends, the count begins anew, and a
kill later in the same session is not counted. Should that be wrong, a halving costs
some speed and no result: the micro-batches' gradients add up to that of the declared
batch, up to rounding.
"""

from collections.abc import Iterable

from search.journal import Entry, SessionEnded, SessionStarted
from search.journal.events import PromotionDivided, PromotionEpoch

PATIENCE = 2
"""Sessions in a row that were killed before they ended an epoch of the training, from
which on each one halves. One that ended in good order counts neither way."""


def kills_that_halve(entries: Iterable[Entry], model: str) -> int:
    """Return how many sessions in a row were killed before they ended an epoch of it.

    0 if that is no reason to have less at once: fewer than PATIENCE, or halved already.

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
