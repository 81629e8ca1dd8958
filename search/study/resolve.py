"""The resolved study: saved before anything runs, compared before anything goes on."""

import hashlib
import io
import json
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from search.engine.warm_start import WarmStart
from search.journal import PromotionReruns, PromotionStarted
from search.space import Space
from search.study.config import PromotionConfig, StudyConfig
from search.study.folder import StudyFolder, write_whole
from search.study.load import Study, changed_keys
from sitenet_core.config import load_yaml, validate
from sitenet_core.durable import sync_folder
from sitenet_core.errors import ConfigError, InfrastructureError

FREE = ("budget", "resources", "trial")
"""Sections of a study file that may change at any time: no value depends on them."""
RERUNS = ("top_k", "seeds", "folds", "tie_within")
"""Keys of the section `promotion` that decide what is trained again."""

_YOUNGER: dict[tuple[str, ...], object] = {
    ("warm_start",): [],
    ("algorithm", "scheduler", "mode"): "promotion",
    ("fidelity",): {"kind": "epochs"},
}
"""Keys that the first studies did not have, with the value that means what was before
them. There they are left out of the digest, so that those studies keep theirs."""


def study_digest(config: StudyConfig) -> str:
    """Return the SHA-256 of everything that is fixed when a study begins."""
    content = config.model_dump(mode="json", exclude={*FREE, "promotion"})
    for (*sections, name), before in _YOUNGER.items():
        holder: dict[str, Any] = content
        for section in sections:
            holder = holder[section]
        if holder.get(name) == before:
            del holder[name]
    return _digest(content)


def promotion_digest(config: StudyConfig) -> str:
    """Return the SHA-256 of the section `promotion`, fixed when a promotion begins.

    What has the default of a key of `RERUNS` is left out: before there were such keys,
    a promotion began with a digest without them.
    """
    content = config.promotion.model_dump(mode="json")
    defaults = PromotionConfig.model_fields
    usual = {key for key in RERUNS if content[key] == defaults[key].default}
    return _digest({key: content[key] for key in content if key not in usual})


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def save_study(folder: StudyFolder, study: Study) -> None:
    """Write the resolved study file and the space it was resolved with."""
    folder.path.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.path.parent)
    write_whole(folder.space_file, study.space.model_dump_json(indent=1, by_alias=True))
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(study.config.model_dump(mode="json"), stream)
    write_whole(folder.study_file, stream.getvalue())


def save_warm_start(folder: StudyFolder, warm_start: WarmStart | None) -> None:
    """Write what earlier studies handed on, or remove what an earlier attempt left."""
    if warm_start is None:
        folder.warm_start_file.unlink(missing_ok=True)
    else:
        write_whole(folder.warm_start_file, warm_start.model_dump_json(indent=1))


def saved_warm_start(folder: StudyFolder) -> WarmStart | None:
    """Return what earlier studies handed on when the study began; None without any.

    Raises:
        InfrastructureError: if the file is damaged.
    """
    try:
        text = folder.warm_start_file.read_text(encoding="utf-8")
        return WarmStart.model_validate_json(text)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InfrastructureError(
            f"{folder.warm_start_file}: what earlier studies handed on cannot be read "
            f"({error}); restore it from a backup"
        ) from error


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
    """Return the study to go on with: the saved one, with what may change as given.

    Args:
        folder: of a study that has begun.
        given: the study file named on the command line; None if only the folder was.

    Raises:
        ConfigError: if `given` differs from the saved study in what is fixed; the
            message names the keys.
    """
    saved = saved_study(folder)
    if given is None:
        return saved
    promoted = folder.exists and has_promotion(folder)
    free = FREE if promoted else (*FREE, "promotion")
    keys = changed_keys(saved.config, given.config, free)
    if saved.space.digest != given.space.digest:
        keys.append("(the content of the space file)")
    if keys:
        raise ConfigError(
            f"{folder.study_file}: the study cannot go on with another definition: "
            f"{', '.join(keys)} changed since it began; only {', '.join(free)} may "
            "change. Undo the change, or start a new study with --name"
        )
    study = Study(given.config, saved.space)
    save_study(folder, study)
    return study


def has_promotion(folder: StudyFolder) -> bool:
    """Return whether the promotion of the study has begun."""
    return _promotion_start(folder) is not None


def check_digests(folder: StudyFolder, study: Study) -> None:
    """Compare the saved files with the digests in the journal.

    Raises:
        ConfigError: if somebody edited the saved study or its space.
    """
    state = folder.state()
    warm_start = saved_warm_start(folder)
    handed_on = None if warm_start is None else warm_start.full_digest
    checks = [
        (folder.study_file.name, study_digest(study.config), state.study_digest),
        (folder.space_file.name, study.space.digest, state.space_digest),
        (folder.warm_start_file.name, handed_on, state.warm_start_digest),
    ]
    start = _promotion_start(folder)
    if start is not None and start.promotion_digest is not None:
        place = f"{folder.study_file.name} (promotion)"
        checks.append((place, promotion_digest(study.config), start.promotion_digest))
    edited = [name for name, now, then in checks if now != then]
    if edited:
        raise ConfigError(
            f"{folder.path}: {' and '.join(edited)} no longer fit the journal, so "
            "somebody edited them (or the program that reads them has other "
            "defaults); restore them, or start a new study with --name"
        )


def _promotion_start(
    folder: StudyFolder,
) -> PromotionReruns | PromotionStarted | None:
    """Return the event that fixed the promotion; None before it."""
    fixing = (PromotionReruns, PromotionStarted)
    return next((e for e in folder.state().promotion if isinstance(e, fixing)), None)
