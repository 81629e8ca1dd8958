"""An MLflow that hangs, fails or comes back: nobody waits for it, nothing is lost."""

import threading
from pathlib import Path

import pytest

from search.engine.tracking_thread import TrackingThread
from search.journal import (
    Journal,
    PromotionStarted,
    StudyCreated,
    StudyState,
    TrialCreated,
)
from search.journal.events import PromotionEpoch
from search.promotion.ledger import Ledger

PATIENCE = 60.0


class HangingTracker:
    """Hangs from its first sync until it is released, as a dead server does."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()
        self.seen: list[StudyState] = []

    def sync(self, state: StudyState, *, now: bool = False) -> None:
        del now
        self.asked.set()
        assert self.released.wait(PATIENCE), "somebody waits for the tracker"
        self.seen.append(state)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    journal = Journal.open(tmp_path / "journal.jsonl")
    journal.append(StudyCreated(name="s", study_digest="s", space_digest="p"))
    journal.append(TrialCreated(trial=0, configuration={}, source="searcher", seed=0))
    return Ledger(tmp_path / "journal.jsonl")


def test_a_promotion_goes_on_while_mlflow_hangs(ledger: Ledger) -> None:
    tracker = HangingTracker()
    with ledger.session(tracker, {}):  # type: ignore[arg-type]
        ledger.append(PromotionStarted(trial=0, plan={}))
        assert tracker.asked.wait(PATIENCE)
        for number in range(1, 50):
            ledger.append(PromotionEpoch(model="winner", epoch=number, metrics={}))
        assert not tracker.seen, "MLflow has taken nothing, and nobody waited"
        tracker.released.set()
    assert tracker.seen[-1] == ledger.state, "at the end it has everything"


def test_trials_go_on_while_mlflow_hangs(ledger: Ledger) -> None:
    tracker = HangingTracker()
    thread = TrackingThread(tracker, seconds=0.01)
    thread.show(ledger.state)
    assert tracker.asked.wait(PATIENCE)
    for _ in range(50):
        thread.show(ledger.state)
    assert not tracker.seen
    thread.close(ledger.state, timeout=0.05)
    tracker.released.set()
