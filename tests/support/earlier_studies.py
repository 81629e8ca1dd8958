"""Studies that ended long ago: a folder with a definition and a journal, no Ray."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from search.journal import (
    EpochDone,
    Journal,
    SegmentFailed,
    SegmentFinished,
    SegmentStarted,
    TrialCreated,
    TrialFinished,
)
from search.space import Value
from search.study import Study, StudyFolder
from search.study.resolve import save_study
from search.study.session import begin_study
from search.trial.outcome import Outcome

Tried = tuple[Mapping[str, Value], float | Outcome]
"""A flat configuration and its value, or how it failed."""


def write_earlier_study(
    path: Path, study: Study, tried: Sequence[Tried], epochs: int = 2
) -> StudyFolder:
    """Write a study in which `tried` was tried, every trial to `epochs`."""
    folder = StudyFolder(path)
    save_study(folder, study)
    begin_study(folder, study)
    journal = Journal.open(folder.journal)
    for number, (flat, result) in enumerate(tried):
        add_trial(journal, number, flat, result, epochs)
    return folder


def add_trial(
    journal: Journal,
    number: int,
    flat: Mapping[str, Value],
    result: float | Outcome,
    epochs: int = 2,
) -> None:
    """Journal a whole trial."""
    ids = {"trial": number, "attempt": 1}
    place = f"trials/{number:05d}/attempt-1"
    journal.append(
        TrialCreated(trial=number, configuration=dict(flat), source="searcher", seed=0)
    )
    journal.append(
        SegmentStarted(
            **ids, from_epoch=0, until_epoch=epochs, checkpoint=None, folder=place
        )
    )
    if isinstance(result, Outcome):
        journal.append(SegmentFailed(**ids, kind=result, message="failed on purpose"))
        outcome, value = result, None
    else:
        for epoch in range(1, epochs + 1):
            metrics = {"val_mae": result * 2 ** (epochs - epoch), "seconds": 1.0}
            journal.append(EpochDone(**ids, epoch=epoch, metrics=metrics))
        journal.append(SegmentFinished(**ids, epoch=epochs, checkpoint=None))
        outcome, value = Outcome.COMPLETED, result
    journal.append(
        TrialFinished(trial=number, outcome=outcome, epoch=epochs, value=value)
    )
