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
PER_STUDY = 4
TRIALS = 4
SCALE = float(os.environ.get("FAULTS_SCALE", "1"))
"""Share of the kills, for a machine that is busy."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    crystals = write_crystals(folder / "crystals")
    scheduler = {"kind": "asha", "min_epochs": 1, "eta": 2}
    document = study_document(
        crystals,
        configuration={"training": {"epochs": 4}},
        algorithm={"searcher": "hyperopt", "startup_trials": 2, "scheduler": scheduler},
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
    home: Path, work: str
) -> None:
    expected = whole(home, work)
    numbers = random.Random(work)
    n_killed, n_studies = 0, max(1, round(SCALE * KILLS[work] / PER_STUDY))
    for number in range(n_studies):
        name = f"{work}-{number}"
        folder = home / "studies" / name
        if work == "simulated":
            folder.mkdir(parents=True)
            write_settings(folder, seconds=0.05, deadly=0.1)
        for _ in range(PER_STUDY):
            before = finished_trials(folder / "journal.jsonl")
            driver = start(home, name, work)
            lines, delay = numbers.randint(0, 8), numbers.uniform(0, 0.5)
            n_killed += kill_after(driver, folder / "journal.jsonl", lines, delay) < 0
            check_after_fault(folder, before)
        before = finished_trials(folder / "journal.jsonl")
        assert ended(start(home, name, work)) == 0, (home / f"{name}.log").read_text()
        check_after_fault(folder, before)
        state = check_at_the_end(folder, trials=TRIALS)
        assert essence(state) == essence(expected)
    assert n_killed >= 0.5 * PER_STUDY * n_studies, "hardly any driver was killed"
