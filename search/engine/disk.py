"""What the trials of a study keep on the disk.

A checkpoint is kept as long as its trial can go on from it: the last one of a trial
that runs, was interrupted, waits at a rung with a prospect of promotion, or was set
aside by an edit of the space, since it may come back. Everything
else is removed as soon as the journal says that it is not needed; a removal that a kill
cut short is completed by the next session. Bundles, logs and curves are never removed.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.journal import TrialRecord
from search.trial.outcome import Outcome

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class DiskUse:
    """Bytes of a study's files."""

    total: int
    checkpoints: int
    """Of them, checkpoints of trials."""


def disk_use(study: Path) -> DiskUse:
    """Return what the folder of a study takes, while its workers may write to it."""
    total = checkpoints = 0
    for path, size in _files(study):
        total += size
        checkpoints += size * (path.parent.name == CHECKPOINTS)
    return DiskUse(total, checkpoints)


def remove_checkpoints(trial: Path, record: TrialRecord) -> None:
    """Remove the checkpoints in the folder of a trial that nothing goes on from."""
    if record.running:
        return
    # A trial that an edit has set aside may come back.
    can_go_on = record.outcome in {None, Outcome.OUTSIDE}
    needed = record.last_checkpoint if can_go_on else None
    kept = () if needed is None else Path(needed).parts
    for folder in trial.glob(f"attempt-*/{CHECKPOINTS}"):
        if folder.parent.name not in kept:
            # What cannot be removed now is tried again by the next session.
            shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                yield path, path.stat().st_size
        except FileNotFoundError:
            continue
