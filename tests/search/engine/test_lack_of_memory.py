"""Trials that run out of memory: halved, carried on, or given up for good."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.conducted_study import Bench, Killed

from search.engine.desk import KILLED_FOR_MEMORY, LOST_WORKER, MemoryKills
from search.engine.schedulers import Asha
from search.journal import StudyState, read_journal
from search.journal.events import SegmentFailed, SegmentStarted
from search.space import FlatConfiguration
from search.trial.outcome import Outcome
from search.trial.payload import SegmentPayload
from sitenet_core.training.sizing import MemoryPlan


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def plan_of_100(_: FlatConfiguration, _until: int, most: int | None) -> MemoryPlan:
    """Predict too little, so that a trial begins with 100 at once."""
    micro_batch = 100 if most is None else min(most, 100)
    return MemoryPlan(micro_batch, micro_batch, micro_batch <= 1, 7 * micro_batch, 1000)


def bench(folder: Path, **plan: Any) -> Bench:
    """Return a bench whose trial 1 runs out of memory in epoch 2, or as planned."""
    content = {"1": {"do": "oom", "epoch": 2, **plan}}
    (folder / "plan.json").write_text(json.dumps(content))
    return Bench(folder, plan_memory=plan_of_100, rules={"trials": 3})


def started(folder: Path, trial: int = 1) -> list[SegmentStarted]:
    events = (entry.event for entry in read_journal(folder / "journal.jsonl"))
    return [e for e in events if isinstance(e, SegmentStarted) and e.trial == trial]


def test_the_prediction_is_journalled_before_the_segment_runs(tmp_path: Path) -> None:
    bench(tmp_path, fits=100).session()
    (event,) = started(tmp_path, 0)
    assert (event.micro_batch, event.predicted_bytes) == (100, 700)
    assert event.memory_bytes == 1000


def test_the_micro_batch_is_halved_and_the_trial_goes_on_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    state = bench(tmp_path, fits=30).session()
    assert [t.outcome for t in state.trials] == [Outcome.COMPLETED] * 3
    events = started(tmp_path)
    assert [e.micro_batch for e in events] == [100, 50, 25]
    assert [e.from_epoch for e in events] == [0, 1, 1]
    assert state.trials[1].micro_batch == 25
    assert state.details[1].halvings == 2
    assert state.details[1].predicted_bytes == 175
    assert state.trials[0].micro_batch is None, "other trials are not touched"
    assert state.details[0].micro_batch == 100
    whole = Bench(tmp_path / "whole", rules={"trials": 3})
    whole.folder.mkdir()
    expected = whole.session().trials
    assert [t.epoch_values for t in state.trials] == [t.epoch_values for t in expected]


def test_the_halved_size_stays_for_all_later_rungs(tmp_path: Path) -> None:
    study = bench(tmp_path, fits=60)
    study.scheduler = Asha(epochs=8, min_epochs=2, eta=2)
    content = {str(n): {"do": "oom", "epoch": 2, "fits": 60} for n in range(6)}
    (tmp_path / "plan.json").write_text(json.dumps(content))
    study.rules = {"trials": 6}
    state = study.session()
    winner = next(t for t in state.trials if t.outcome is Outcome.COMPLETED)
    sizes = [e.micro_batch for e in started(tmp_path, winner.number)]
    assert sizes == [100, 50, 50, 50]


def test_what_does_not_fit_one_by_one_is_infeasible(tmp_path: Path) -> None:
    state = bench(tmp_path, smallest=12).session()
    failed = state.trials[1]
    assert [e.micro_batch for e in started(tmp_path)] == [100, 50, 25, 12]
    assert failed.outcome is Outcome.FAILED_OOM
    assert failed.message == (
        "infeasible: does not fit with one crystal at a time: no memory left"
    )
    assert [state.trials[n].outcome for n in (0, 2)] == [Outcome.COMPLETED] * 2


def test_halving_ends_at_one_even_if_nobody_says_that_it_is_the_least(
    tmp_path: Path,
) -> None:
    state = bench(tmp_path, smallest=0).session()
    sizes = [e.micro_batch for e in started(tmp_path)]
    assert sizes == [100, 50, 25, 12, 6, 3, 1]
    assert state.trials[1].outcome is Outcome.FAILED_OOM


def test_the_worker_says_how_much_was_at_once_where_nothing_was_predicted(
    tmp_path: Path,
) -> None:
    study = replace(bench(tmp_path), plan_memory=lambda _c, _u, _m: None)
    desk = study.desk(study.journal())
    for handle in ("a", "b"):
        payload = desk.next(handle)
        assert isinstance(payload, SegmentPayload)
        assert payload.micro_batch == {"a": None, "b": 20}[handle]
        said = {"kind": "failed", "outcome": "failed_oom", "message": "m"}
        desk.receive(handle, json.dumps({**said, "micro_batch": 40}))
        desk.ended(handle)
    assert desk.conductor.state.trials[0].micro_batch == 20


def test_a_driver_that_dies_halves_as_the_other_did(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    expected = bench(whole, fits=30).session()
    n_events = len(read_journal(whole / "journal.jsonl"))
    for lives in range(1, n_events):
        for keeps_last in (True, False):
            folder = tmp_path / f"{lives}-{keeps_last}"
            folder.mkdir()
            study = bench(folder, fits=30)
            with pytest.raises(Killed):
                study.session(lives=lives, keeps_last=keeps_last)
            state = study.session()
            assert [t.epoch_values for t in state.trials] == [
                t.epoch_values for t in expected.trials
            ]
            assert [t.outcome for t in state.trials] == [Outcome.COMPLETED] * 3
            assert state.trials[1].micro_batch == 25
            sizes = [e.micro_batch or 0 for e in started(folder)]
            assert sizes == sorted(sizes, reverse=True), "none grows again"


def killed(
    tmp_path: Path, counts: list[int], *, known: bool = True
) -> tuple[Bench, StudyState]:
    """Lose the worker of trial 1 twice, while the kernel counts kills as given."""
    study = bench(tmp_path, do="lost", attempts=[1, 2])
    if not known:
        study.plan_memory = lambda _c, _u, _m: None
    remaining = iter(counts)
    study.kills = MemoryKills(lambda: next(remaining))
    return study, study.session()


def test_a_worker_that_the_kernel_killed_for_its_memory_is_halved(
    tmp_path: Path,
) -> None:
    _, state = killed(tmp_path, [3, 4, 5])
    failures = state.details[1].failures
    assert [f.kind for f in failures] == [Outcome.FAILED_OOM] * 2
    assert [f.message for f in failures] == [KILLED_FOR_MEMORY] * 2
    assert [e.micro_batch for e in started(tmp_path)] == [100, 50, 25]
    assert state.details[1].lost_workers == 0
    assert state.trials[1].outcome is Outcome.COMPLETED


def test_a_kill_halves_what_was_in_use_and_not_what_was_allowed(
    tmp_path: Path,
) -> None:
    study = bench(tmp_path, do="lost", attempts=[1, 2])

    def plan(flat: FlatConfiguration, until: int, most: int | None) -> MemoryPlan:
        planned = plan_of_100(flat, until, most)
        return replace(planned, in_use=min(20, planned.in_use))

    study.plan_memory = plan
    counts = iter([0, 1, 2])
    study.kills = MemoryKills(lambda: next(counts))
    study.session()
    assert [e.micro_batch for e in started(tmp_path)] == [100, 10, 5]


def test_one_kill_explains_one_lost_worker(tmp_path: Path) -> None:
    _, state = killed(tmp_path, [3, 4, 4])
    failures = state.details[1].failures
    kinds = [Outcome.FAILED_OOM, Outcome.FAILED_LOST_WORKER]
    assert [f.kind for f in failures] == kinds
    assert failures[1].message == LOST_WORKER
    assert [e.micro_batch for e in started(tmp_path)] == [100, 50, 50]


def test_a_kill_is_a_lost_worker_where_nothing_can_be_halved(tmp_path: Path) -> None:
    _, state = killed(tmp_path, [0, 1, 2], known=False)
    failures = state.details[1].failures
    assert [f.kind for f in failures] == [Outcome.FAILED_LOST_WORKER] * 2
    assert failures[0].message == KILLED_FOR_MEMORY


def test_a_journal_from_before_ends_a_trial_at_its_first_lack_of_memory() -> None:
    event = SegmentFailed.model_validate(
        {"trial": 0, "attempt": 1, "kind": "failed_oom", "message": "m"}
    )
    assert event.halved is None
