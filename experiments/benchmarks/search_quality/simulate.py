"""Runs the product's own engine on learning curves, under a simulated clock.

Conductor, searcher and scheduler are the objects that a study uses; only the workers
are simulated, and the journal is kept in memory. An epoch takes the seconds that the
problem says, or one. What is recorded is the best value so far against the epochs that
all workers together have trained.
"""

import heapq
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from experiments.benchmarks.search_quality.problem import Curve, Problem
from search.engine.conductor import Conductor
from search.engine.rules import Engine, Rules
from search.engine.segment import Answer, Segment
from search.journal import OBJECTIVE, Clock, Journal, StudyCreated, StudyState
from search.journal.events import Metrics
from search.trial.outcome import Outcome

_FAILURE = "the configuration lies in the failing region"


@dataclass
class MemoryJournal(Journal):
    """A journal that is never written; everything else is the real one."""

    def _write(self, line: bytes) -> None:
        """Keep the event in `entries` alone."""


@dataclass
class SimulatedClock:
    """Stands where it was put."""

    now: float = 0.0
    """Seconds since the study began."""

    def clock(self) -> Clock:
        """Return the journal's view of it."""
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return Clock(
            wall=lambda: start + timedelta(seconds=self.now),
            monotonic=lambda: self.now,
        )


@dataclass(frozen=True)
class Trace:
    """How well a search stood after how much training."""

    steps: tuple[tuple[int, float], ...]
    """(epochs trained, best value so far), one entry per improvement."""
    failed: tuple[bool, ...] = ()
    """Per trial in the order of proposal: whether it failed."""

    def best_at(self, epochs: int) -> float:
        """Return the best value within the first `epochs` epochs; inf without any."""
        return min((v for e, v in self.steps if e <= epochs), default=float("inf"))


@dataclass
class TraceRecorder:
    """Collects the epochs of a search in the order of their end."""

    epochs: int = 0
    best: float = float("inf")
    steps: list[tuple[int, float]] = field(default_factory=list)

    def add(self, value: float | None) -> None:
        """Count one epoch; None is one that broke."""
        self.epochs += 1
        if value is not None and value < self.best:
            self.best = value
            self.steps.append((self.epochs, value))


@dataclass(frozen=True)
class Simulation:
    """A study on one problem."""

    problem: Problem
    engine: Engine
    seed: int = 0
    workers: int = 1
    unit_time: bool = False
    """Let every epoch take one second, whatever the problem says."""

    def run(self, epochs: int) -> tuple[Trace, StudyState]:
        """Search until `epochs` epochs are trained; return its trace and its end.

        All workers are busy to the end: what they do then is left unfinished.
        """
        clock = SimulatedClock()
        journal = MemoryJournal(Path("memory"), clock.clock())
        name, digest = "simulated", self.problem.space.digest
        journal.append(StudyCreated(name=name, study_digest="", space_digest=digest))
        rules = Rules(
            trials=None,
            epochs=self.problem.epochs,
            seed=self.seed,
            concurrent=self.workers,
        )
        conductor = Conductor(journal, self.engine, rules)
        conductor.begin("simulated", 0, {})
        recorder = TraceRecorder()
        Floor(self, conductor, clock, recorder).work(epochs)
        outcomes = [trial.outcome for trial in conductor.state.trials]
        failed = tuple(bool(o and o.is_failure) for o in outcomes)
        return Trace(tuple(recorder.steps), failed), conductor.state


@dataclass
class Floor:
    """The simulated workers: which epoch of which segment ends when."""

    simulation: Simulation
    conductor: Conductor
    clock: SimulatedClock
    recorder: TraceRecorder
    _due: list[tuple[float, int, int, Segment]] = field(default_factory=list)
    """Heap of (time, tie-breaker, epoch that ends then, segment)."""
    _curves: dict[int, Curve] = field(default_factory=dict)
    _pushed: int = 0

    def work(self, epochs: int) -> None:
        """Train `epochs` epochs, or until the conductor has nothing left to do."""
        is_free = True
        while self.recorder.epochs < epochs:
            if is_free:
                self._fill()
            if not self._due:
                return
            self.clock.now, _, epoch, segment = heapq.heappop(self._due)
            is_free = self._end_epoch(segment, epoch)

    def _fill(self) -> None:
        while True:
            segment = self.conductor.ask()
            if isinstance(segment, Answer):
                return
            if segment.trial not in self._curves:
                curve = self.simulation.problem.curve(segment.configuration)
                self._curves[segment.trial] = curve
            self._push(segment, segment.from_epoch + 1)

    def _push(self, segment: Segment, epoch: int) -> None:
        seconds = float(self._curves[segment.trial].seconds[epoch - 1])
        due = self.clock.now + (1.0 if self.simulation.unit_time else seconds)
        self._pushed += 1
        heapq.heappush(self._due, (due, self._pushed, epoch, segment))

    def _end_epoch(self, segment: Segment, epoch: int) -> bool:
        """Report an epoch; return whether the segment is over, so a worker is free."""
        curve = self._curves[segment.trial]
        if curve.fails:
            self.recorder.add(None)
            self.conductor.segment_failed(segment, Outcome.FAILED_OOM, _FAILURE)
            return True
        value = float(curve.values[epoch - 1])
        self.recorder.add(value)
        checkpoint = f"{segment.folder}/last"
        seconds = float(curve.seconds[epoch - 1])
        metrics: Metrics = {OBJECTIVE: value, "seconds": seconds}
        self.conductor.epoch_done(segment, epoch, metrics, checkpoint)
        if epoch < segment.until_epoch:
            self._push(segment, epoch + 1)
            return False
        bundle = "bundle" if segment.is_last else None
        self.conductor.segment_finished(segment, checkpoint, bundle)
        return True
