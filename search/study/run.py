"""`sitenet search run`: begins a study, or goes on with one, and runs its budget."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from search.engine.stopping import Stopped, StopRequest, stop_on_signals
from search.study.config import StudyConfig
from search.study.edit import differs, finish_edit, make_edit, plan_edit
from search.study.folder import StudyFolder, find_study
from search.study.live import build_bar
from search.study.load import Study, load_study
from search.study.lock import study_lock
from search.study.prepare import StudyData, prepare_data
from search.study.resolve import (
    check_digests,
    continued_study,
    save_study,
    save_warm_start,
    saved_study,
)
from search.study.session import (
    RunOptions,
    Session,
    end_before_trials,
    make_engine,
)
from search.study.shipped import shipped_studies, shipped_study
from search.study.summary import StudySummary, study_summary
from search.study.warm_start import resolve_warm_start
from sitenet_core.errors import ConfigError

if TYPE_CHECKING:
    from sitenet_core.data import BuildProgress

_YAML = {".yaml", ".yml"}


def run_study(target: Path | str, options: RunOptions | None = None) -> StudySummary:
    """Run the study in file `target`, or go on with it, until its budget is used up.

    Args:
        target: a study file, or the name of a shipped study; to go on, also the name
            or the folder of a study.
        options: where and how.

    Returns:
        How the study stands; `interrupted` tells of a signal.

    Raises:
        ConfigError: the study, its space or the resources are wrong, it exists already
            and `resume` is not set, or (StudyInUseError) another driver runs it.
        DataError: the data cannot be used.
        NoTrialSucceededError: the budget is used up and no trial was completed.
        InfrastructureError: Ray or the disk failed, the data went away, or trial after
            trial failed before its first epoch.
    """
    options = options or RunOptions()
    folder, given = _locate(target, options)
    if given is not None:
        # A searcher that is not installed is found before the study is fixed.
        make_engine(given)
    folder.path.mkdir(parents=True, exist_ok=True)
    with stop_on_signals() as stop, study_lock(folder.lock):
        study = _resolve(folder, given, options)
        try:
            data = _prepare(study, folder, stop, shown=options.progress)
        except Stopped:
            end_before_trials(folder, study)
        else:
            Session(study, folder, data, options).run(stop)
    summary = study_summary(folder)
    if not summary.interrupted:
        summary.require_success()
    return summary


def _locate(
    target: Path | str, options: RunOptions
) -> tuple[StudyFolder, Study | None]:
    """Return the study's folder and, where a file was named, what the file says."""
    file = Path(target)
    if file.suffix not in _YAML:
        name = str(target)
        begun = StudyFolder(options.directory / name).exists
        shipped = None if begun else shipped_study(name)
        if shipped is None and not (options.resume or options.edit):
            raise ConfigError(
                f"{target}: a study begins with a study file (.yaml) or the name of a "
                f"shipped study ({', '.join(shipped_studies())}); to go on with a "
                "study by its name, add --resume"
            )
        if shipped is None:
            found = find_study(name, options.directory)
            _require_file(found.name, options)
            return found, None
        file = shipped
    study = load_study(file)
    if options.name is not None:
        renamed = {**study.config.model_dump(), "name": options.name}
        try:
            study = replace(study, config=StudyConfig.model_validate(renamed))
        except ValueError as error:
            raise ConfigError(
                f"--name {options.name!r}: letters, digits, dot, dash and underscore "
                "are allowed, beginning with a letter or digit"
            ) from error
    folder = StudyFolder((options.directory / study.config.name).resolve())
    return folder, study


def _require_file(name: str, options: RunOptions) -> None:
    """Refuse what only a study file can say, rather than go on without it."""
    given = {"--edit": options.edit, "--name": options.name is not None}
    for option, is_given in given.items():
        if is_given:
            raise ConfigError(
                f"{option} needs the study file that says what is new, and {name!r} is "
                "the name of a study that has begun; give the path of its .yaml file "
                f"(to go on with {name!r} as it is: --resume alone)"
            )


def _prepare(
    study: Study, folder: StudyFolder, stop: StopRequest, *, shown: bool
) -> StudyData:
    with build_bar(shown=shown) as bar:

        def on_progress(progress: "BuildProgress") -> None:
            stop.check()
            bar(progress)

        return prepare_data(study, folder, on_progress)


def _edit(folder: StudyFolder, given: Study, options: RunOptions) -> None:
    """Make an edit that was asked for; say what one would mean that was not."""
    check_digests(folder, saved_study(folder))
    edit = plan_edit(folder, given)
    if not options.edit:
        raise ConfigError(
            f"{folder.path}: the space, or what it varies around, has changed since "
            "the study began. With --edit the study goes on with the change:\n"
            + "\n".join(edit.lines())
            + "\nTo leave the study as it is, undo the change, or choose another name "
            "with --name"
        )
    make_edit(folder, edit)
    if options.progress:
        _say(edit.lines())


def _say(lines: list[str]) -> None:
    Console(stderr=True, soft_wrap=True).print(
        "\n".join(lines), highlight=False, markup=False
    )


def _resolve(folder: StudyFolder, given: Study | None, options: RunOptions) -> Study:
    """Return the resolved study, saved; under the study's lock."""
    if folder.exists:
        if not (options.resume or options.edit):
            raise ConfigError(
                f"{folder.path}: the study exists already; go on with it by --resume, "
                "or choose another name with --name"
            )
        finish_edit(folder)
        if given is not None and differs(saved_study(folder), given):
            _edit(folder, given, options)
        study = continued_study(folder, given)
        check_digests(folder, study)
        return study
    if given is None:
        raise ConfigError(f"{folder.path}: nothing was begun here; name a study file")
    warm_start = resolve_warm_start(given, folder)
    save_study(folder, given)
    save_warm_start(folder, warm_start)
    if warm_start is not None and options.progress:
        _say(warm_start.lines())
    # Of an attempt that failed before the first trial, with other data perhaps.
    folder.split.unlink(missing_ok=True)
    return given
