"""A real Site-Net study on a few small crystals whose search was journalled by hand."""

import csv
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Structure
from support.structure_files import rock_salt
from support.tracked_studies import empty_store

from search.journal import (
    EpochDone,
    Journal,
    SegmentFinished,
    SegmentStarted,
    SessionEnded,
    SessionStarted,
    StudyCreated,
    TrialCreated,
    TrialFinished,
    read_journal,
)
from search.journal.events import PromotionDivided
from search.promotion import promote
from search.study import Study, StudyFolder, load_study, prepare_data
from search.study.resolve import save_study, study_digest
from search.trial.outcome import Outcome
from sitenet_core.families import get_family
from sitenet_core.families.stores import StoreBuilding, open_family_store

SPACE = """\
version: 1
family: sitenet
description: one parameter, for tests
preset: test
fixed: {cell.max_atoms: 8}
parameters:
  optimizer.learning_rate: {type: float, low: 1.0e-4, high: 1.0e-1, log: true}
"""
STUDY = """\
version: 1
name: tiny
space: ./space.yaml
data:
  source: SOURCE
  target: {column: target, name: edge, unit: Å}
  split: {kind: random, test_fraction: 0.25, validation_fraction: 0.25}
configuration: {training: {epochs: 2}}
budget: {trials: 3}
promotion:
  train_on: TRAIN_ON
  epochs: EPOCHS
  seed: 7
  RERUNS
  references: [REFERENCES]
  register_as: edges
"""
LEARNING_RATES = (1e-3, 2e-2, 5e-3)
"""Of trials 0, 1 and 2; trial 1 is the best, trial 2 failed at a better value."""
VALUES = (0.9, 0.5, 0.1)


def make_study(
    folder: Path,
    *,
    train_on: str = "train",
    epochs: int = 3,
    references: str = "preset:test, composition, constant",
    reruns: str = "top_k: 1",
    folds: bool = False,
) -> StudyFolder:
    """Return a study that was searched, in `folder`/studies/tiny.

    With `folds` its source has four official folds, and fold 0 is the test set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / ("crystals.parquet" if folds else "crystals")
    if folds:
        _write_table(source)
    else:
        _write_crystals(source)
    (folder / "space.yaml").write_text(SPACE)
    text = STUDY.replace("SOURCE", str(source))
    if folds:
        split = "kind: random, test_fraction: 0.25"
        text = text.replace(split, "kind: fold, test_fold: 0")
    text = text.replace("TRAIN_ON", train_on).replace("EPOCHS", str(epochs))
    text = text.replace("RERUNS", reruns)
    (folder / "study.yaml").write_text(text.replace("REFERENCES", references))
    study = load_study(folder / "study.yaml")
    place = StudyFolder((folder / "studies" / "tiny").resolve())
    save_study(place, study)
    _build_store(study)
    prepare_data(study, place)
    journal = Journal.open(place.journal)
    journal.append(
        StudyCreated(
            name="tiny",
            study_digest=study_digest(study.config),
            space_digest=study.space.digest,
        )
    )
    journal.append(SessionStarted(session=1, host="here", pid=1))
    for number in range(3):
        _write_trial(journal, number)
    journal.append(SessionEnded(reason="trials"))
    return place


def simple_study(folder: Path) -> StudyFolder:
    """Return one whose promotion is one epoch, and an empty MLflow store."""
    empty_store(folder / "studies")
    return make_study(folder, epochs=1, references="constant")


def divisions(folder: StudyFolder) -> list[PromotionDivided]:
    """Return how often and how the long training's batches were divided."""
    events = (entry.event for entry in read_journal(folder.journal))
    return [
        e for e in events if isinstance(e, PromotionDivided) and e.model == "winner"
    ]


def _build_store(study: Study) -> None:
    """Build the store in this process: to start others would take longer."""
    family = get_family("sitenet")
    settings = family.settings(study.base)
    open_family_store(study.config.data, family, settings, StoreBuilding(workers=1))


def _write_trial(journal: Journal, number: int) -> None:
    rate = LEARNING_RATES[number]
    configuration: dict[str, Any] = {"optimizer.learning_rate": rate}
    journal.append(
        TrialCreated(
            trial=number, configuration=configuration, source="searcher", seed=number
        )
    )
    place = {"trial": number, "attempt": 1}
    journal.append(
        SegmentStarted(
            **place,
            from_epoch=0,
            until_epoch=2,
            checkpoint=None,
            folder=f"trials/{number:05d}/attempt-1",
        )
    )
    for epoch in (1, 2):
        metrics = {"val_mae": VALUES[number] + 2 - epoch, "seconds": 0.5}
        journal.append(EpochDone(**place, epoch=epoch, metrics=metrics))
    journal.append(SegmentFinished(**place, epoch=2, checkpoint=None))
    outcome = Outcome.FAILED_NAN if number == 2 else Outcome.COMPLETED
    journal.append(TrialFinished(trial=number, outcome=outcome, epoch=2, value=None))


def _write_crystals(folder: Path) -> None:
    """Write 16 rock salts; the target is the edge of the cubic cell."""
    folder.mkdir()
    with (folder / "targets.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "target"))
        for number, crystal in enumerate(crystals()):
            crystal.get_primitive_structure().to(str(folder / f"c{number:02d}.cif"))
            writer.writerow((f"c{number:02d}", crystal.lattice.a))


def _write_table(path: Path) -> None:
    """Write the same crystals as a table; crystal k is in fold k modulo 4."""
    rows = [
        {
            "id": f"c{number:02d}",
            "composition": crystal.composition.formula,
            "n_sites": len(crystal),
            "cell": list(crystal.lattice.parameters),
            "numbers": list(crystal.atomic_numbers),
            "frac_e8": (crystal.frac_coords * 1e8).round().astype(int).ravel().tolist(),
            "target": float(crystal.lattice.a),
            "fold": number % 4,
        }
        for number, crystal in enumerate(crystals())
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def crystals() -> list[Structure]:
    """Return 16 rock salts in their conventional cells."""
    pairs = [(c, a) for c in ("Li", "Na", "K", "Rb") for a in ("F", "Cl", "Br", "I")]
    return [rock_salt(*pair, a=4 + 0.2 * i) for i, pair in enumerate(pairs)]


def main() -> None:
    """Promote the study in the folder of the first argument, for tests that kill it."""
    promote(StudyFolder(Path(sys.argv[1])), threads=1)


if __name__ == "__main__":
    main()
