"""Drives a conductor in this process, without Ray; the driver can die anywhere."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.segment_work import WorkerLostError, flat_payload
from support.simulated_study import square

from search.engine.conductor import Conductor
from search.engine.desk import Desk, MemoryKills
from search.engine.rules import Engine, PlanMemory, Rules
from search.engine.schedulers import FullTraining, Scheduler
from search.engine.searchers import NO_EARLIER, Earlier, Searcher
from search.engine.searchers.random import RandomSearcher
from search.engine.segment import Answer
from search.journal import Clock, Entry, Event, Journal, StudyCreated, StudyState
from search.space import Space
from search.trial.payload import SegmentPayload
from search.trial.segment import run_segment
from sitenet_core.errors import OutOfMemoryError


class Killed(BaseException):
    """The driver died."""


@dataclass
class MortalJournal(Journal):
    """Dies at its `lives`-th append, with the event on the disk or not."""

    lives: int = 10**9
    keeps_last: bool = True

    def append(self, event: Event) -> Entry:
        self.lives -= 1
        if self.lives > 0:
            return super().append(event)
        if self.keeps_last:
            super().append(event)
        raise Killed


@dataclass
class Bench:
    """A study of analytic curves in a folder."""

    folder: Path
    scheduler: Scheduler = field(default_factory=lambda: FullTraining(4))
    searcher: Searcher = field(default_factory=RandomSearcher)
    space: Space = field(default_factory=square)
    plan_memory: PlanMemory = lambda _configuration, _until, _most: None
    kills: MemoryKills = field(default_factory=lambda: MemoryKills(lambda: None))
    rules: dict[str, Any] = field(default_factory=dict)
    earlier: Earlier = NO_EARLIER

    def journal(self, **mortality: Any) -> MortalJournal:
        """Return the study's journal as a new driver opens it."""
        clock = mortality.pop("clock", None)
        opened = Journal.open(self.folder / "journal.jsonl", clock or Clock())
        journal = MortalJournal(**{**vars(opened), **mortality})
        if not journal.entries:
            journal.append(StudyCreated(name="toy", study_digest="s", space_digest="p"))
        return journal

    def desk(self, journal: Journal) -> Desk:
        """Return a desk whose session has begun."""
        rules = Rules(**{"trials": 5, "epochs": self.scheduler.rungs[-1], **self.rules})
        engine = Engine(
            self.space, self.searcher, self.scheduler, self.earlier, self.plan_memory
        )
        conductor = Conductor(journal, engine, rules)
        conductor.begin("host", 1, {})
        desk = Desk(conductor, self.folder, flat_payload(self.folder), self.kills)
        desk.tidy()
        return desk

    def session(self, **mortality: Any) -> StudyState:
        """Run one driver session to its end (or death) and return the state."""
        desk = self.desk(self.journal(**mortality))
        waiting: deque[tuple[str, SegmentPayload]] = deque()
        for number in range(10**6):
            answer = desk.next(f"handle-{number}")
            if isinstance(answer, SegmentPayload):
                waiting.append((f"handle-{number}", answer))
            elif waiting:
                handle, payload = waiting.popleft()
                work(desk, handle, payload)
            elif answer is Answer.DONE:
                break
        desk.conductor.end(desk.conductor.end_reason)
        return desk.conductor.state


def work(desk: Desk, handle: str, payload: SegmentPayload) -> None:
    """Be the worker of one segment; a killed worker says nothing."""
    try:
        run_segment(payload, lambda text: desk.receive(handle, text))
    except WorkerLostError:
        pass
    except OutOfMemoryError:
        pass  # the worker is dropped, as Ray does it
    desk.ended(handle)
