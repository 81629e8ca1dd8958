"""Drivers of whole studies on a real Ray, killed at random points."""

import os
import random
from pathlib import Path

import pytest
from support.fault_checks import (
    check_after_fault,
    check_at_the_end,
    essence,
    finished_trials,
)
from support.fault_study import ended, kill_after, start
from support.fault_work import begun, write_settings
from support.toy_study import study_document, write_crystals, write_study

from search.journal import StudyState

KILLS = {"simulated": 12, "trained": 20}
SEARCHERS = {"simulated": "hyperopt", "trained": "gaussian"}
PER_STUDY = 4
TRIALS = 4
SCALE = float(os.environ.get("FAULTS_SCALE", "1"))
"""Share of the kills, for a machine that is busy."""


def home_of_studies(folder: Path, work: str) -> Path:
    """Return a folder with crystals and a study file."""
    scheduler = {"kind": "asha", "min_epochs": 1, "eta": 2}
    searcher = {"searcher": SEARCHERS[work], "startup_trials": 2}
    document = study_document(
        write_crystals(folder / "crystals"),
        configuration={"training": {"epochs": 4}},
        algorithm={**searcher, "scheduler": scheduler},
        budget={"trials": TRIALS},
        trial={"max_lost_worker_retries": 50},
    )
    write_study(folder, document)
    return folder


def whole(home: Path, work: str) -> StudyState:
    """Return an uninterrupted study."""
    name = f"whole-{work}"
    assert ended(start(home, name, work)) == 0, (home / f"{name}.log").read_text()
    state = check_at_the_end(home / "studies" / name, trials=TRIALS)
    assert begun(home / "studies" / name), "the epochs are counted"
    return state


@pytest.mark.parametrize("work", ["simulated", "trained"])
def test_no_kill_of_a_driver_on_ray_loses_or_repeats_anything(
    tmp_path: Path, work: str
) -> None:
    home = home_of_studies(tmp_path, work)
    expected = whole(home, work)
    numbers = random.Random(work)
    n_killed, n_studies = 0, 0
    while n_killed < SCALE * KILLS[work]:
        assert n_studies < KILLS[work], "hardly any driver is killed"
        name = f"{work}-{n_studies}"
        n_studies += 1
        folder = home / "studies" / name
        if work == "simulated":
            folder.mkdir(parents=True)
            write_settings(folder, seconds=0.05, deadly=0.1)
        for _ in range(PER_STUDY):
            before = finished_trials(folder / "journal.jsonl")
            driver = start(home, name, work)
            lines, delay = numbers.randint(0, 8), numbers.uniform(0, 0.5)
            code = kill_after(driver, folder / "journal.jsonl", lines, delay)
            check_after_fault(folder, before)
            if code == 0:
                # The study was over before the moment came.
                break
            assert code == -9, (home / f"{name}.log").read_text()
            n_killed += 1
        before = finished_trials(folder / "journal.jsonl")
        assert ended(start(home, name, work)) == 0, (home / f"{name}.log").read_text()
        check_after_fault(folder, before)
        state = check_at_the_end(folder, trials=TRIALS)
        assert essence(state) == essence(expected)
