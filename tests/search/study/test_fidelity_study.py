"""Studies along other fidelities than epochs: real trainings, run by Ray."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.toy_study import study_document, write_crystals, write_study

from search.journal import StudyState
from search.study import RunOptions, StudyData, StudyFolder, load_study, run_study
from search.study.prepare import reachable_configurations
from search.trial.outcome import Outcome
from sitenet_core.data import load_split, training_share

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.slow,
    # Ray leaves the pipes and sockets of its daemons to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ASHA = {"scheduler": {"kind": "asha", "eta": 2}}


class NoTracker:
    def sync(self, state: StudyState, *, now: bool = False) -> None:
        """Show the state nowhere."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with crystals and a Ray of this module."""
    from search.engine.ray_cluster import ray_connection

    folder = tmp_path_factory.mktemp("home")
    write_crystals(folder / "crystals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), str(ROOT)]))
        patch.setenv("SITENET_STORES", str(folder / "stores"))
        patch.delenv("RAY_ADDRESS", raising=False)
        with ray_connection():
            yield folder


def run(home: Path, name: str, fidelity: dict[str, Any]) -> tuple[Path, StudyState]:
    """Run a study of two trials, of which one is promoted to the second level."""
    document = study_document(
        home / "crystals", name=name, algorithm=ASHA, fidelity=fidelity
    )

    def tracker(_folder: StudyFolder, _data: StudyData) -> NoTracker:
        return NoTracker()

    options = RunOptions(directory=home / "studies", progress=False, tracker=tracker)
    summary = run_study(write_study(home / name, document), options)
    return summary.folder, summary.state


def test_rungs_along_the_structures_train_on_nested_shares_from_nothing(
    home: Path,
) -> None:
    folder, state = run(home, "shares", {"kind": "structures", "shares": [0.5, 1.0]})
    (best,) = [t for t in state.trials if t.outcome is Outcome.COMPLETED]
    assert sorted(best.rung_values) == [2, 4]
    assert sorted(best.epoch_values) == [1, 2, 3, 4]
    for number, epochs in ((1, 2), (2, 2)):
        place = folder / f"trials/{best.number:05d}/attempt-{number}"
        assert len((place / "curve.csv").read_text().splitlines()) == 1 + epochs
    split = load_split(folder / "split.json")
    half = training_share(split, 0.5, 0)
    assert len(half.train) < len(split.train)
    header = json.loads((folder / str(best.bundle) / "bundle.json").read_text())
    assert split.digest in json.dumps(header), "the model has seen all structures"
    # The same seed and rate on half the structures and on all give other numbers.
    assert best.epoch_values[1] != best.epoch_values[3]
    other = next(t for t in state.trials if t.number != best.number)
    assert sorted(other.rung_values) == [2]
    assert not list(folder.glob("trials/*/attempt-*/checkpoints"))


def test_rungs_along_the_supercell_train_on_the_store_of_their_size(
    home: Path,
) -> None:
    fidelity = {"kind": "max_atoms", "values": [2, 8]}
    folder, state = run(home, "sizes", fidelity)
    (best,) = [t for t in state.trials if t.outcome is Outcome.COMPLETED]
    assert sorted(best.rung_values) == [2, 4]
    header = json.loads((folder / str(best.bundle) / "bundle.json").read_text())
    assert header["config"]["cell"]["max_atoms"] == 8
    study = load_study(home / "sizes" / "study.yaml")
    sizes = [
        c.model_dump()["cell"]["max_atoms"] for c in reachable_configurations(study)
    ]
    assert sizes == [8, 2], "both stores were built before the first trial"
    assert best.epoch_values[1] != best.epoch_values[3]
