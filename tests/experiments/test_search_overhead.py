"""The overhead benchmark: what it measures on, and what its report says."""

from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.search_overhead.events import events
from experiments.benchmarks.search_overhead.memory import drawn_sizes, plans
from experiments.benchmarks.search_overhead.proposals import (
    PEER,
    history,
    loss,
    proposals,
)
from experiments.benchmarks.search_overhead.report import report
from search.engine.searchers.factory import SEARCHERS
from search.space import Space, load_space


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("sitenet/table1_2023")


def test_the_known_trials_are_those_of_successive_halving(space: Space) -> None:
    records = history(space, 54)
    reached = [sum(e in r.rung_values for r in records) for e in (1, 3, 9, 27)]
    assert reached == [54, 18, 6, 2]
    deepest = records[0]
    assert deepest.value == loss(space, dict(deepest.configuration), 27)


def test_every_searcher_is_measured_beside_its_peer(space: Space) -> None:
    found = proposals(space, 30, repetitions=1)
    assert set(found) == {*SEARCHERS, PEER}
    assert all(row["cpu_ms"] > 0 for row in found.values())


def test_events_are_counted_beside_optunas(space: Space, tmp_path: Path) -> None:
    found = events(space, 5, tmp_path)
    assert found["journal + state + scheduler"]["count"] >= 3 * 60
    assert found["optuna journal"]["count"] == 5 * 60
    assert list(tmp_path.iterdir()) == []


def test_first_and_later_plans_of_a_trial_are_apart(space: Space) -> None:
    found = plans(space, n=50)
    assert len(found) == 4
    for room in ("enough memory", "halved, or does not fit"):
        later, first = found[f"a later one, {room}"], found[f"first of a trial, {room}"]
        assert 0 < later["wall_ms"] < first["wall_ms"]
    sites = drawn_sizes(5000)["n_unique_sites"]
    assert 15 < np.median(sites) < 25
    assert sites.max() <= 444


def test_the_report_says_of_each_target_whether_it_is_met() -> None:
    row = {"wall_ms": 50.0, "cpu_ms": 10.0, "first_wall_ms": 90.0, "count": 9}
    results = {
        "cpus": 2,
        "parameters": 18,
        "load": 0.5,
        "proposals": {"200": {"random": row}, "2000": {PEER: row}},
        "events": {"200": {"journal + state + scheduler": {**row, "wall_ms": 2.0}}},
        "memory": {"first of a trial": row, "a later one": row},
        "segments": {"a segment of a study": {"seconds": 0.3, "count": 9}},
    }
    text = report(results)
    assert "≤ 15 ms: met in CPU time, missed in wall time" in text
    assert "≤ 3 ms: met |" in text
    assert "≤ 0.2 s: missed" in text
    assert text.count("≤ 2 ms: missed") == 1, "only of later segments"
    assert "≤ 40 ms" not in text, "a peer has no target"
