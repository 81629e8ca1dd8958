"""Which lost worker a kill for want of memory explains, and what comes of it."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.conducted_study import Bench

from search.engine.desk import (
    EXPLAINS_SECONDS,
    KILLED_AT_SMALLEST,
    KILLED_FOR_MEMORY,
    LOST_WORKER,
    Desk,
    MemoryKills,
)
from search.engine.schedulers import Asha
from search.journal.events import SegmentFailed
from search.space import FlatConfiguration
from search.trial.outcome import Outcome
from search.trial.payload import SegmentPayload
from sitenet_core.training.sizing import MemoryPlan


@dataclass
class Machine:
    """What a kernel has counted, and the time."""

    count: int | None = 7
    now: float = 100.0

    def kills(self) -> MemoryKills:
        return MemoryKills(lambda: self.count, lambda: self.now)

    def kill(self, n: int = 1) -> None:
        self.count = (self.count or 0) + n


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def test_a_kill_explains_one_worker_that_is_lost_soon_after() -> None:
    machine = Machine()
    kills = machine.kills()
    assert not kills.another(), "those before the session explain nothing"
    machine.kill()
    kills.look()
    machine.now += EXPLAINS_SECONDS
    assert kills.another()
    assert not kills.another()


def test_a_kill_that_no_lost_worker_follows_explains_no_later_one() -> None:
    machine = Machine()
    kills = machine.kills()
    machine.kill()
    kills.look()
    machine.now += EXPLAINS_SECONDS + 1
    assert not kills.another()
    machine.kill()
    assert kills.another(), "the next one counts again"


def test_nothing_is_left_over_from_an_earlier_kill() -> None:
    machine = Machine()
    kills = machine.kills()
    machine.kill()
    kills.look()
    machine.now += EXPLAINS_SECONDS - 5
    machine.kill()
    assert kills.another(), "that is the one of now"
    machine.now += 10
    assert not kills.another(), "and the first was another process"


def test_two_workers_that_are_killed_at_once_are_both_explained() -> None:
    machine = Machine()
    kills = machine.kills()
    machine.kill(2)
    assert [kills.another() for _ in range(3)] == [True, True, False]


def test_a_count_that_cannot_be_read_for_a_moment_is_no_kill() -> None:
    machine = Machine()
    kills = machine.kills()
    machine.count = None
    assert not kills.another()
    machine.count = 7
    assert not kills.another()


def plan(smallest: int, at_once: int = 100) -> MemoryPlan:
    return MemoryPlan(at_once, at_once, at_once <= smallest, 700, 1000)


def desk_of(
    folder: Path, machine: Machine, smallest: int = 1, retries: int = 2
) -> Desk:
    """Return a desk of a study whose trials have 100 pairs at once, or less."""

    def divided(_: FlatConfiguration, _until: int, most: int | None) -> MemoryPlan:
        return plan(smallest, min(100, most or 100))

    scheduler = Asha(epochs=4, min_epochs=2, eta=2)
    study = Bench(folder, scheduler, plan_memory=divided, kills=machine.kills())
    rules = {"trials": 2, "max_lost_worker_retries": retries}
    study = replace(study, rules=rules)
    return study.desk(study.journal())


def lose(desk: Desk, handle: str) -> SegmentFailed:
    """Hand out a segment and lose its worker; return what is journalled of it."""
    payload = desk.next(handle)
    assert isinstance(payload, SegmentPayload)
    desk.ended(handle)
    return desk.conductor.state.details[payload.trial].failures[-1]


def finish(desk: Desk, handle: str) -> None:
    """Hand out a segment and do its epochs."""
    payload = desk.next(handle)
    assert isinstance(payload, SegmentPayload)
    for epoch in range(payload.from_epoch + 1, payload.until_epoch + 1):
        metrics = f'"metrics": {{"val_mae": {1 + payload.trial + 1 / epoch}}}'
        desk.receive(handle, f'{{"kind": "epoch", "epoch": {epoch}, {metrics}}}')
    desk.receive(handle, f'{{"kind": "finished", "epoch": {payload.until_epoch}}}')
    desk.ended(handle)


def test_a_worker_lost_after_somebody_elses_kill_is_only_lost(tmp_path: Path) -> None:
    machine = Machine()
    desk = desk_of(tmp_path, machine)
    machine.kill()
    desk.look()
    machine.now += 3600
    failure = lose(desk, "a")
    assert (failure.kind, failure.message) == (Outcome.FAILED_LOST_WORKER, LOST_WORKER)
    again = desk.next("b")
    assert isinstance(again, SegmentPayload)
    assert again.micro_batch == 100, "nothing was halved"


def test_with_one_crystal_at_a_time_a_kill_is_tried_once_more(tmp_path: Path) -> None:
    machine = Machine()
    desk = desk_of(tmp_path, machine, smallest=100)
    assert lose(desk, "a").message == LOST_WORKER
    machine.kill()
    failure = lose(desk, "b")
    assert failure.kind is Outcome.FAILED_LOST_WORKER
    assert failure.message == KILLED_AT_SMALLEST
    assert desk.conductor.state.trials[0].outcome is None
    finish(desk, "c")
    assert desk.conductor.state.trials[0].last_epoch == 2


@pytest.mark.parametrize("retries", [0, 2])
def test_killed_twice_with_one_crystal_at_a_time_is_infeasible(
    tmp_path: Path, retries: int
) -> None:
    """However many retries a lost worker has: this is what its trial is."""
    machine = Machine()
    desk = desk_of(tmp_path, machine, smallest=100, retries=retries)
    machine.kill()
    lose(desk, "a")
    # Another driver knows it from the journal.
    desk = desk_of(tmp_path, machine, smallest=100, retries=retries)
    machine.kill()
    failure = lose(desk, "b")
    assert (failure.kind, failure.message) == (Outcome.FAILED_OOM, KILLED_FOR_MEMORY)
    trial = desk.conductor.state.trials[0]
    assert trial.outcome is Outcome.FAILED_OOM
    assert trial.message.startswith("infeasible: does not fit with one crystal")
    assert desk.conductor.state.details[0].lost_workers == 1


def test_a_trial_that_went_on_after_a_kill_is_not_infeasible_at_the_next(
    tmp_path: Path,
) -> None:
    machine = Machine()
    desk = desk_of(tmp_path, machine, smallest=100)
    machine.kill()
    lose(desk, "a")
    finish(desk, "b")
    finish(desk, "c")
    machine.kill()
    assert lose(desk, "d").message == KILLED_AT_SMALLEST
    state = desk.conductor.state
    assert [t.outcome for t in state.trials] == [None, None]
    assert state.details[0].lost_workers == 2


def test_a_kill_halves_before_the_least_is_reached(tmp_path: Path) -> None:
    machine = Machine()
    desk = desk_of(tmp_path, machine, smallest=50)
    machine.kill()
    assert lose(desk, "a").kind is Outcome.FAILED_OOM
    machine.kill()
    assert lose(desk, "b").message == KILLED_AT_SMALLEST
    assert desk.conductor.state.trials[0].micro_batch == 50
