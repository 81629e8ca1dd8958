"""SIGKILL of a real driver process at random points, also in the middle of a write."""

import json
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.fault_checks import (
    check_after_fault,
    check_at_the_end,
    essence,
    finished_trials,
)
from support.fault_driver import SEARCHER, Nursery, random_kill
from support.fault_work import write_settings

from search.engine.stopping import SIGNALS
from search.journal import StudyState, read_journal

TRIALS = 8
PER_STUDY = 4
"""Drivers at most that die before one is left alive."""


def study(folder: Path, *, deadly: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    write_settings(folder, seconds=0.002, deadly=deadly)
    return folder


Whole = dict[str, tuple[StudyState, int]]
"""Searcher → an uninterrupted study, and how many events it has."""


@dataclass(frozen=True)
class Case:
    """How drivers are killed."""

    searcher: str
    workers: int
    deadly: float
    """Share of the epochs that kill their worker."""
    part: float
    """Of all kills."""


CASES = (
    Case("gaussian", workers=1, deadly=0.0, part=0.4),
    Case("hyperopt", workers=1, deadly=0.0, part=0.2),
    Case("gaussian", workers=1, deadly=0.2, part=0.2),
    Case("gaussian", workers=3, deadly=0.1, part=0.2),
)


@pytest.fixture(scope="module")
def wholes(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    found = {}
    for searcher in {case.searcher for case in CASES}:
        folder = study(tmp_path_factory.mktemp("whole") / "study")
        assert nursery.drive(folder, trials=TRIALS, searcher=searcher) == 0
        n_events = len(read_journal(folder / "journal.jsonl"))
        found[searcher] = check_at_the_end(folder, trials=TRIALS), n_events
    return found


@pytest.fixture
def whole(wholes: Whole) -> tuple[StudyState, int]:
    """With the searcher that a driver has unless told otherwise."""
    return wholes[SEARCHER]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_kill_loses_or_repeats_anything(
    nursery: Nursery, tmp_path: Path, kills: int, wholes: Whole, case: Case
) -> None:
    expected, n_events = wholes[case.searcher]
    numbers = random.Random(str(case))
    drive = partial(
        nursery.drive, trials=TRIALS, workers=case.workers, searcher=case.searcher
    )
    n_killed, n_studies = 0, 0
    while n_killed < kills * case.part:
        assert n_studies < kills, "hardly any driver is killed"
        folder = study(tmp_path / f"study-{n_studies}", deadly=case.deadly)
        n_studies += 1
        log: list[dict[str, Any]] = []
        while len(log) < PER_STUDY:
            before = finished_trials(folder / "journal.jsonl")
            kill = random_kill(numbers, n_events // 2)
            code = drive(folder, kill=kill)
            check_after_fault(folder, before)
            if code == 0:
                # The study was over before the moment came.
                break
            log.append({**kill, "code": code})
            assert code == -9, log
        n_killed += len(log)
        before = finished_trials(folder / "journal.jsonl")
        assert drive(folder) == 0
        check_after_fault(folder, before)
        state = check_at_the_end(folder, trials=TRIALS)
        if case.workers == 1:
            assert essence(state) == essence(expected), json.dumps(log)


@pytest.mark.parametrize("name", [number.name for number in SIGNALS])
def test_a_signal_ends_a_driver_in_good_order(
    nursery: Nursery,
    tmp_path: Path,
    whole: tuple[StudyState, int],
    name: str,
) -> None:
    expected, _ = whole
    folder = study(tmp_path / "study")
    write_settings(folder, seconds=0.03)
    kill = {"lines": 12, "delay": 0.01, "signal": name}
    assert nursery.drive(folder, trials=TRIALS, kill=kill) == 130
    state = StudyState.read(folder / "journal.jsonl")
    assert (state.session_open, state.ended) == (False, "interrupted")
    assert not any(t.running for t in state.trials)
    check_after_fault(folder, {})
    write_settings(folder)
    assert nursery.drive(folder, trials=TRIALS) == 0
    check_after_fault(folder, finished_trials(folder / "journal.jsonl"))
    assert essence(check_at_the_end(folder, trials=TRIALS)) == essence(expected)


def test_a_line_cut_at_every_byte_is_written_anew_by_the_next_driver(
    nursery: Nursery, tmp_path: Path, whole: tuple[StudyState, int], kills: int
) -> None:
    expected, n_events = whole
    length = 160
    for cut in range(0, length, 1000 // kills):
        folder = study(tmp_path / f"cut-{cut}")
        write = 3 + cut % (n_events - 3)
        kill = {"write": write, "place": "torn", "share": cut / length}
        assert nursery.drive(folder, trials=TRIALS, kill=kill) == -9
        journal = folder / "journal.jsonl"
        n_whole = journal.read_bytes().count(b"\n")
        assert len(read_journal(journal)) == n_whole == write - 1
        assert nursery.drive(folder, trials=TRIALS) == 0
        check_after_fault(folder, {})
        state = check_at_the_end(folder, trials=TRIALS)
        assert essence(state) == essence(expected), f"cut at byte {cut}"


@pytest.mark.parametrize("place", ["before", "torn", "written"])
def test_a_driver_killed_at_the_outcome_of_a_trial_is_followed_by_one_that_gives_it(
    nursery: Nursery, tmp_path: Path, whole: tuple[StudyState, int], place: str
) -> None:
    expected, _ = whole
    source = study(tmp_path / "source")
    assert nursery.drive(source, trials=TRIALS) == 0
    names = [e.event.event for e in read_journal(source / "journal.jsonl")]
    folder = study(tmp_path / "study")
    kill = {"write": 1 + names.index("trial_finished"), "place": place, "share": 0.5}
    assert nursery.drive(folder, trials=TRIALS, kill=kill) == -9
    assert nursery.drive(folder, trials=TRIALS) == 0
    check_after_fault(folder, {})
    state = check_at_the_end(folder, trials=TRIALS)
    assert essence(state) == essence(expected)
