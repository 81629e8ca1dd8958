"""The resolved study: saved before anything runs, compared before anything goes on."""

import hashlib
import io
import json
import os
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML

from search.space import Space
from search.study.config import StudyConfig
from search.study.folder import StudyFolder
from search.study.load import Study, changed_keys
from sitenet_core.config import load_yaml, validate
from sitenet_core.errors import ConfigError, InfrastructureError


def study_digest(config: StudyConfig) -> str:
    """Return the SHA-256 of everything but the budget, which may be raised."""
    content = config.model_dump(mode="json", exclude={"budget"})
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def save_study(folder: StudyFolder, study: Study) -> None:
    """Write the resolved study file and the space it was resolved with."""
    folder.path.mkdir(parents=True, exist_ok=True)
    _replace(folder.space_file, study.space.model_dump_json(indent=1, by_alias=True))
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(study.config.model_dump(mode="json"), stream)
    _replace(folder.study_file, stream.getvalue())


def saved_study(folder: StudyFolder) -> Study:
    """Return the study as it was resolved when it began.

    Raises:
        ConfigError: if the saved study file was edited into something invalid.
        InfrastructureError: if the saved space is missing or damaged.
    """
    config = validate(StudyConfig, load_yaml(folder.study_file))
    try:
        text = folder.space_file.read_text(encoding="utf-8")
        space = Space.model_validate_json(text)
    except (OSError, ValidationError) as error:
        raise InfrastructureError(
            f"{folder.space_file}: the saved space cannot be read ({error}); restore "
            "it from a backup"
        ) from error
    return Study(config, space)


def continued_study(folder: StudyFolder, given: Study | None) -> Study:
    """Return the study to go on with: the saved one, with the budget that is given.

    Args:
        folder: of a study that has begun.
        given: the study file named on the command line; None if only the folder was.

    Raises:
        ConfigError: if `given` differs from the saved study in anything but its
            budget; the message names the keys.
    """
    saved = saved_study(folder)
    if given is None:
        return saved
    keys = changed_keys(saved.config, given.config)
    if saved.space.digest != given.space.digest:
        keys.append("(the content of the space file)")
    if keys:
        raise ConfigError(
            f"{folder.study_file}: the study cannot go on with another definition: "
            f"{', '.join(keys)} changed since it began; only the budget may change. "
            "Undo the change, or start a new study with --name"
        )
    study = Study(given.config, saved.space)
    save_study(folder, study)
    return study


def check_digests(folder: StudyFolder, study: Study) -> None:
    """Compare the saved files with the digests in the journal.

    Raises:
        ConfigError: if somebody edited the saved study or its space.
    """
    state = folder.state()
    edited = [
        file.name
        for file, now, then in (
            (folder.study_file, study_digest(study.config), state.study_digest),
            (folder.space_file, study.space.digest, state.space_digest),
        )
        if now != then
    ]
    if edited:
        raise ConfigError(
            f"{folder.path}: {' and '.join(edited)} no longer fit the journal, so "
            "somebody edited them (or the program that reads them has other "
            "defaults); restore them, or start a new study with --name"
        )


def _replace(path: Path, text: str) -> None:
    """Write `text` so that the file is either the old one or the whole new one."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
