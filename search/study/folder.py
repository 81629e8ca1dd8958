"""The folder of a study: where each of its files lies."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from search.journal import StudyState
from sitenet_core.config import nearest
from sitenet_core.durable import replace_file
from sitenet_core.errors import ConfigError

DEFAULT_DIRECTORY = Path("studies")


@dataclass(frozen=True)
class StudyFolder:
    """Paths of one study. Nothing is made by asking for a path."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def study_file(self) -> Path:
        """The resolved study, every default filled in."""
        return self.path / "study.yaml"

    @property
    def space_file(self) -> Path:
        """The space as it was when the study began."""
        return self.path / "space.json"

    @property
    def warm_start_file(self) -> Path:
        """What earlier studies handed on when the study began; absent without any."""
        return self.path / "warm_start.json"

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.path / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """The lock of the one driver."""
        return self.path / "lock"

    @property
    def split(self) -> Path:
        """Ids of training, validation and test."""
        return self.path / "split.json"

    @property
    def promotion(self) -> Path:
        """Everything the promotion makes."""
        return self.path / "promotion"

    @property
    def scratch(self) -> Path:
        """Ray's own files of the running session; removed at its end."""
        return self.path / ".ray"

    @property
    def pending_edit(self) -> "StudyFolder":
        """Where the files of an edit wait until it is journalled."""
        return StudyFolder(self.path / ".edit")

    @property
    def exists(self) -> bool:
        """Whether a study was begun here: its journal has a first whole line."""
        if not self.journal.is_file():
            return False
        with self.journal.open("rb") as file:
            return file.readline().endswith(b"\n")

    def trial(self, number: int) -> Path:
        """Return the folder of one trial."""
        return self.path / trial_folder(number)

    def absolute(self, relative: str) -> Path:
        """Return a path that the journal gives relative to this folder."""
        return self.path / relative

    def state(self) -> StudyState:
        """Return what the journal says now.

        Raises:
            InfrastructureError: if the journal is damaged.
        """
        return StudyState.read(self.journal)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def remove_scratch(self) -> None:
        """Remove what Ray left behind."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def trial_folder(number: int) -> str:
    """Return the folder of a trial, relative to the study's."""
    return f"trials/{number:05d}"


def write_whole(path: Path, text: str) -> None:
    """Write `text` so that the file is either the old one or the whole new one.

    It is on the disk when this returns.
    """
    replace_file(path, text.encode())


def find_study(name: str, directory: Path = DEFAULT_DIRECTORY) -> StudyFolder:
    """Return the study called `name` in `directory`; a path to its folder works too.

    Raises:
        ConfigError: if there is none; the message names those that there are.
    """
    for path in (directory / name, Path(name)):
        if StudyFolder(path).exists:
            return StudyFolder(path.resolve())
    journals = directory.glob("*/journal.jsonl")
    found = sorted(p.parent.name for p in journals if StudyFolder(p.parent).exists)
    hint = nearest(name, found) if found else "there is none here yet"
    raise ConfigError(
        f"{directory / name}: there is no study called {name!r} in {directory}; {hint} "
        "(--dir names another folder of studies)"
    )
