"""The benchmark of searches, on an analytic problem in place of the surrogate."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from support.simulated_study import square

from experiments.benchmarks.search_quality.problem import Curve
from experiments.benchmarks.search_quality.simulate import Simulation
from search.engine.conductor import Engine
from search.engine.schedulers import make_scheduler
from search.engine.searchers import make_searcher
from search.space import FlatConfiguration, Space

EPOCHS = 9


@dataclass(frozen=True)
class Bowl:
    """A bowl around (0.3, 0.7) whose curves fall with the epochs; y costs time."""

    name: str = "bowl"
    epochs: int = EPOCHS
    space: Space = field(default_factory=square)

    def curve(self, flat: FlatConfiguration) -> Curve:
        x, y = float(flat["x"] or 0), float(flat["y"] or 0)
        depth = (x - 0.3) ** 2 + (y - 0.7) ** 2
        steps = np.arange(1, self.epochs + 1)
        return Curve(depth + 1 / steps, np.full(self.epochs, 0.5 + y))

    def regret(self, value: float) -> float:
        return value - 1 / self.epochs


def simulation(scheduler: str, *, workers: int = 1, seed: int = 0) -> Simulation:
    problem = Bowl()
    rungs = make_scheduler(scheduler, epochs=EPOCHS, min_epochs=1)
    engine = Engine(problem.space, make_searcher("random"), rungs)
    return Simulation(problem, engine, seed=seed, workers=workers)


def test_without_a_scheduler_every_budget_of_full_trainings_is_that_many_trials() -> (
    None
):
    trace, state = simulation("none").run(5 * EPOCHS)
    values = [min(t.epoch_values.values()) for t in state.trials]
    assert len(values) == 5
    for count in range(1, 6):
        assert trace.best_at(count * EPOCHS) == min(values[:count])


def test_the_best_of_an_epoch_that_was_trained_counts_at_once() -> None:
    trace, _ = simulation("none").run(EPOCHS)
    assert [epoch for epoch, _ in trace.steps] == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_continued_trial_spends_no_epoch_twice(workers: int) -> None:
    _, state = simulation("asha", workers=workers).run(20 * EPOCHS)
    trained = sum(len(t.epoch_values) for t in state.trials)
    assert trained == 20 * EPOCHS
    assert any(t.last_epoch == EPOCHS and t.attempts > 1 for t in state.trials)


def test_workers_train_at_the_same_time_and_the_slow_end_later() -> None:
    _, state = simulation("none", workers=4).run(40 * EPOCHS)
    running = [t for t in state.trials if t.running]
    assert len(running) >= 3
    ended = [t.number for t in state.trials if t.outcome]
    order = sorted(ended, key=lambda n: state.details[n].ended or "")
    assert order != sorted(order)


def test_a_simulation_is_repeated_exactly_by_its_seed() -> None:
    first, again, other = (
        simulation("asha", workers=4, seed=seed).run(10 * EPOCHS)[0]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
