"""Finds and reads the earlier studies that a study file names.

They are only read: no lock is taken, a study that is being searched may be read as far
as it has come, and a torn last line of its journal is left out.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from search.engine.warm_start import EarlierStudy, WarmStart, carry_over
from search.journal import TrialRecord
from search.space import FlatConfiguration
from search.study.config import MLFLOW_PREFIX
from search.study.folder import StudyFolder
from search.study.load import Study, plain_values
from search.study.resolve import saved_study
from search.tracking import (
    TrackedStudy,
    displayed,
    experiment_studies,
    fetch_definition,
    tracking_uri,
)
from sitenet_core.config import Problem, load_yaml, nearest
from sitenet_core.errors import ConfigError, InfrastructureError, SiteNetError

_log = logging.getLogger(__name__)


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
        found = experiment_studies(uri, experiment)
        studies = [
            self._earlier(f"{name} ({identity})", uri, tracked)
            for identity, tracked in found.items()
        ]
        told = [study for study in studies if study.trials]
        if not told:
            runs = sum(len(tracked.trials) for tracked in found.values())
            raise ConfigError(
                f"experiment {experiment!r} has no run with a result yet (of {runs} "
                "trials), so there is nothing to learn from it; leave it out, or run "
                "it further. A run that no study wrote counts if it FINISHED and "
                "has parameters and a metric val_mae or best_val_mae; `sitenet search "
                "sync` completes the runs of a study"
            )
        yield from told

    def _earlier(self, name: str, uri: str, tracked: TrackedStudy) -> EarlierStudy:
        saved = _definition(name, uri, tracked)
        complete = None
        if saved is not None:
            _check_family(name, saved, self.study.space.family)
            complete = _all_complete(saved, tracked.trials)
        return EarlierStudy.of(name, displayed(uri), tracked.trials, complete)


def _of_folder(name: str, folder: StudyFolder, family: str) -> EarlierStudy:
    saved = saved_study(folder)
    _check_family(str(folder.path), saved, family)
    records = folder.state().trials
    complete = _all_complete(saved, records)
    return EarlierStudy.of(name, str(folder.path), records, complete)


def _definition(name: str, uri: str, tracked: TrackedStudy) -> Study | None:
    """Return the study as MLflow has it; None where it is not all there.

    What such a study held fixed is not known: its trials are what it sampled.
    """
    with TemporaryDirectory(prefix="sitenet-") as place:
        folder = StudyFolder(Path(place))
        try:
            found = fetch_definition(uri, tracked, folder.path)
            return saved_study(folder) if found else None
        except SiteNetError as error:
            _log.warning("%s: what it held fixed is not known: %s", name, error)
            return None


def _check_family(place: str, study: Study, family: str) -> None:
    if study.space.family != family:
        raise ConfigError(
            f"{place}: a study of family {study.space.family}, while this one is of "
            f"family {family}; their configurations have nothing in common"
        )


def _all_complete(
    study: Study, records: tuple[TrialRecord, ...]
) -> dict[int, FlatConfiguration]:
    return {r.number: _complete(study, r.configuration) for r in records}


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
