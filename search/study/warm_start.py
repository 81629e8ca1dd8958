"""Finds and reads the earlier studies that a study file names.

They are only read: no lock is taken, a study that is being searched may be read as far
as it has come, and a torn last line of its journal is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.engine.warm_start import EarlierStudy, WarmStart, carry_over
from search.space import FlatConfiguration
from search.study.config import MLFLOW_PREFIX
from search.study.folder import StudyFolder
from search.study.load import Study, plain_values
from search.study.resolve import saved_study
from search.tracking import displayed, experiment_studies, tracking_uri
from sitenet_core.config import Problem, load_yaml, nearest
from sitenet_core.errors import ConfigError, InfrastructureError, SiteNetError


def resolve_warm_start(study: Study, folder: StudyFolder) -> WarmStart | None:
    """Return what the earlier studies of `study` hand on; None if it names none.

    Args:
        study: as its file says.
        folder: of the new study.

    Raises:
        ConfigError: one `FILE:LINE:COLUMN: warm_start.N: message` line per name that
            cannot be used.
    """
    names = study.config.warm_start
    if not names:
        return None
    reader = _Reader(study, folder)
    studies: list[EarlierStudy] = []
    problems: list[Problem] = []
    for index, name in enumerate(names):
        try:
            studies.extend(reader.read(name))
        except SiteNetError as error:
            problems.append(Problem(("warm_start", index), _line(error)))
    if problems and study.file is not None:
        raise load_yaml(study.file).error(problems)
    if problems:
        raise ConfigError("\n".join(problem.message for problem in problems))
    return carry_over(studies, study.space, study.base_values)


@dataclass
class _Reader:
    study: Study
    folder: StudyFolder

    def read(self, name: str) -> Iterator[EarlierStudy]:
        """Yield the studies that `name` stands for: one, or those of an experiment.

        Raises:
            SiteNetError: if there is none, or it tells nothing; the message is made
                for a person.
        """
        experiment = name.removeprefix(MLFLOW_PREFIX)
        if experiment != name:
            yield from self._tracked(name, experiment)
            return
        found = self._find(name)
        earlier = _of_folder(name, found, self.study.space.family)
        if not earlier.trials:
            raise ConfigError(
                f"{found.path}: no trial of this study has a result yet, so there is "
                "nothing to learn from it; leave it out, or run it further"
            )
        yield earlier

    def _find(self, name: str) -> StudyFolder:
        directories = [self.folder.path.parent]
        if self.study.file is not None:
            directories.append(self.study.file.resolve().parent)
        for directory in directories:
            found = StudyFolder((directory / Path(name).expanduser()).resolve())
            if found.path == self.folder.path.resolve():
                raise ConfigError(f"{name!r} is this study itself; name another one")
            if found.exists:
                return found
        known = {p.parent.name for d in directories for p in d.glob("*/journal.jsonl")}
        known.discard(self.folder.name)
        hint = nearest(name, known) if known else "there is no other study there"
        looked = " and ".join(dict.fromkeys(str(d) for d in directories))
        raise ConfigError(
            f"there is no study called {name!r} (looked in {looked}); {hint}"
        )

    def _tracked(self, name: str, experiment: str) -> Iterator[EarlierStudy]:
        uri = tracking_uri(self.folder.path.parent)
        studies = [
            EarlierStudy.of(f"{name} ({identity})", displayed(uri), records)
            for identity, records in experiment_studies(uri, experiment).items()
        ]
        told = [study for study in studies if study.trials]
        if not told:
            raise ConfigError(
                f"experiment {experiment!r} has no run with a result yet, so there is "
                "nothing to learn from it; leave it out"
            )
        yield from told


def _of_folder(name: str, folder: StudyFolder, family: str) -> EarlierStudy:
    saved = saved_study(folder)
    if saved.space.family != family:
        raise ConfigError(
            f"{folder.path}: a study of family {saved.space.family}, while this one "
            f"is of family {family}; their configurations have nothing in common"
        )
    records = folder.state().trials
    complete = {r.number: _complete(saved, r.configuration) for r in records}
    return EarlierStudy.of(name, str(folder.path), records, complete)


def _complete(study: Study, flat: FlatConfiguration) -> FlatConfiguration:
    """Return every plain value of a trial, what its study held fixed included."""
    try:
        config = study.space.configuration(flat, study.config.configuration)
    except ConfigError:
        # The family refuses it now; what was sampled is known all the same.
        return flat
    return plain_values(config) | dict(flat)


def _line(error: SiteNetError) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, InfrastructureError):
        return f"{text} (or leave this study out)"
    return text
