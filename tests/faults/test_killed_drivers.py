"""SIGKILL of a real driver process at random points, also in the middle of a write."""

import json
import random
from pathlib import Path

import pytest
from support.fault_checks import (
    check_after_fault,
    check_at_the_end,
    essence,
    finished_trials,
)
from support.fault_driver import Nursery, random_kill
from support.fault_work import write_settings

from search.engine.stopping import SIGNALS
from search.journal import StudyState, read_journal

TRIALS = 8
PER_STUDY = 4
"""Drivers that die before one is left alive."""


def study(folder: Path, *, deadly: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    write_settings(folder, seconds=0.002, deadly=deadly)
    return folder


@pytest.fixture(scope="module")
def whole(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyState, int]:
    """An uninterrupted study, and how many events it has."""
    folder = study(tmp_path_factory.mktemp("whole") / "study")
    assert nursery.drive(folder, trials=TRIALS) == 0
    n_events = len(read_journal(folder / "journal.jsonl"))
    return check_at_the_end(folder, trials=TRIALS), n_events


@pytest.mark.parametrize("case", [(1, 0.0, 0.6), (1, 0.2, 0.2), (3, 0.1, 0.2)], ids=str)
def test_no_kill_loses_or_repeats_anything(
    nursery: Nursery,
    tmp_path: Path,
    kills: int,
    whole: tuple[StudyState, int],
    case: tuple[int, float, float],
) -> None:
    """A case is workers, share of epochs that kill their worker, share of the kills."""
    workers, deadly, part = case
    expected, n_events = whole
    numbers = random.Random(f"{workers} {deadly}")
    n_killed, n_studies = 0, max(1, round(kills * part / PER_STUDY))
    for number in range(n_studies):
        folder = study(tmp_path / f"study-{number}", deadly=deadly)
        log = []
        for _ in range(PER_STUDY):
            before = finished_trials(folder / "journal.jsonl")
            kill = random_kill(numbers, n_events // 2)
            code = nursery.drive(folder, trials=TRIALS, workers=workers, kill=kill)
            log.append({**kill, "code": code})
            assert code in {-9, 0}, log
            n_killed += code == -9
            check_after_fault(folder, before)
        before = finished_trials(folder / "journal.jsonl")
        assert nursery.drive(folder, trials=TRIALS, workers=workers) == 0
        check_after_fault(folder, before)
        state = check_at_the_end(folder, trials=TRIALS)
        if workers == 1:
            assert essence(state) == essence(expected), json.dumps(log)
    assert n_killed >= 0.5 * PER_STUDY * n_studies, "hardly any driver was killed"


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
