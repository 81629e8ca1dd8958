"""What a peer's loop does with one configuration: trains it, epoch by epoch."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from experiments.benchmarks.search_quality.problem import Problem
from experiments.benchmarks.search_quality.simulate import Trace, TraceRecorder
from search.space import FlatConfiguration

FIRST_RUNG = 3
"""Epochs of the first rung, as in a study that names none."""


class BrokenTrainingError(Exception):
    """The training broke in its first epoch."""


@dataclass
class Budget:
    """Trains for a peer and counts its epochs as those of the engine are counted."""

    problem: Problem
    epochs: int
    """What the search may train in all."""
    recorder: TraceRecorder = field(default_factory=TraceRecorder)
    failed: list[bool] = field(default_factory=list)

    @property
    def is_left(self) -> bool:
        """Whether another training may begin."""
        return self.recorder.epochs < self.epochs

    def train(self, flat: FlatConfiguration) -> Iterator[tuple[int, float]]:
        """Yield (epoch, value) of a training; whoever stops listening stops it.

        Raises:
            BrokenTrainingError: where the problem says so; one epoch is spent.
        """
        curve = self.problem.curve(flat)
        self.failed.append(curve.fails)
        if curve.fails:
            self.recorder.add(None)
            raise BrokenTrainingError
        for epoch, value in enumerate(curve.values.tolist(), start=1):
            self.recorder.add(value)
            yield epoch, value

    def best_of(self, flat: FlatConfiguration) -> float:
        """Train `flat` to its end and return its best value.

        Raises:
            BrokenTrainingError: see `train`.
        """
        return min(value for _, value in self.train(flat))

    def trace(self) -> Trace:
        """Return how the search went."""
        return Trace(tuple(self.recorder.steps), tuple(self.failed))
