"""Registered models: bundles go in as pyfunc models without a pickle."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from search.tracking.mirror import content_digest
from search.tracking.model_files import ModelFolder, files_tag, recorded_files
from search.tracking.store import LoggedRun, MlflowStore, NotInStoreError
from sitenet_core.errors import ConfigError

LOADER_MODULE = "sitenet_core.predict.pyfunc"
CHAMPION = "champion"
_DIGEST_TAG = "bundle_digest"
_ALLOWED_NAME = re.compile(r"[^/:@%\"']+")


@dataclass(frozen=True)
class Registration:
    """Under which name a bundle is registered, and what is written beside it."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """Configuration, data and split digest, unit, test error: whatever a user of the
    model should be able to read without opening it."""
    alias: str = CHAMPION
    """Moves to the new version; earlier versions stay."""
    loader_module: str = LOADER_MODULE
    """Module with `_load_pyfunc(data_path)`."""


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model."""

    name: str
    version: str
    alias: str

    @property
    def uri(self) -> str:
        """What `sitenet predict` and MLflow call it."""
        return f"models:/{self.name}@{self.alias}"


def check_model_name(name: str) -> None:
    """Refuse a name that MLflow, or a `models:/` URI, could not take.

    Raises:
        ConfigError: if it has a character that is not allowed.
    """
    if not _ALLOWED_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a registered model: a name has no slash, colon, at "
            "or percent sign and no quotation mark; change `promotion.register_as`"
        )


def register_bundle(
    store: MlflowStore, run: LoggedRun, bundle: Path, registration: Registration
) -> RegisteredModel:
    """Register `bundle` as a new version whose files lie with `run`, and alias it.

    A bundle that was registered from this run before is not registered again; it only
    gets the alias. So a registration that was cut short can simply be repeated.

    Raises:
        ConfigError: if the name is not one that a model can have.
        InfrastructureError: if MLflow does not take the model.
    """
    check_model_name(registration.name)
    files = ModelFolder(store, run, bundle, registration.loader_module)
    known = _registered_version(files, registration.name)
    number = _new_version(files, registration) if known is None else known.number
    _set_alias(store, registration, number)
    return RegisteredModel(registration.name, number, registration.alias)


@dataclass(frozen=True)
class Restored:
    """What became of a version that was to be in the registry."""

    number: str
    """MLflow numbers the versions of a model that was deleted from 1 again."""
    done: list[str]
    """What was put right, in words; nothing where the store lacked nothing."""


def restore_version(
    store: MlflowStore,
    run: LoggedRun,
    bundle: Path,
    registration: Registration,
    recorded: str,
) -> Restored:
    """Register `bundle` again if the store lost its version, or put its files back.

    The alias is set only where no version has it: a later study may have taken it.

    Args:
        store: that the run lies in.
        run: of the long training.
        bundle: that was registered.
        registration: what was registered.
        recorded: number of the version, as it was when it was registered.

    Raises:
        InfrastructureError: if MLflow does not take the model.
    """
    name, alias = registration.name, registration.alias
    files = ModelFolder(store, run, bundle, registration.loader_module)
    known = _registered_version(files, name, recorded)
    number = _new_version(files, registration) if known is None else known.number
    was = "" if number == recorded else f" (was version {recorded})"
    if known is None:
        text = f"registered as version {number}{was}, since there was none"
        done = [f"model {name}: {text}"]
    else:
        done = [f"model {name}: is version {number}{was}"] if was else []
        done += [
            f"model {name} version {number}: put back {text}"
            for text in _put_back(files, name, known)
        ]
    with store.guarded(f"{name!r} cannot be looked up"):
        aliases = store.client.get_registered_model(name).aliases
    if alias not in aliases:
        _set_alias(store, registration, number)
        done.append(f"model {name} version {number}: is {alias} again")
    return Restored(number, done)


@dataclass(frozen=True)
class _Known:
    """A version that the registry holds."""

    number: str
    files: Mapping[str, int] | None
    """Path → bytes, as its tags have it; None if they do not say."""


def _put_back(files: ModelFolder, name: str, known: _Known) -> list[str]:
    """Restore the files of a version; return which, and what was wrong with them."""
    sizes, done = files.put_back(known.files)
    if sizes != known.files:
        with files.store.guarded(f"a version of {name!r} cannot be tagged"):
            for key, value in files_tag(sizes).items():
                files.store.client.set_model_version_tag(name, known.number, key, value)
    return done


def _set_alias(store: MlflowStore, registration: Registration, number: str) -> None:
    with store.guarded(f"alias {registration.alias!r} cannot be set"):
        store.client.set_registered_model_alias(
            registration.name, registration.alias, number
        )


def _registered_version(
    files: ModelFolder, name: str, recorded: str | None = None
) -> _Known | None:
    """Return the version made of this bundle from this run; None if there is none.

    Somebody may have copied it; of several the one that has the `recorded` number is
    meant, else the first.
    """
    digest = content_digest(files.bundle)
    with files.store.guarded(f"versions of {name!r} cannot be listed"):
        versions = files.store.client.search_model_versions(f"name = '{name}'")
    run_id = files.run.run_id
    same = {
        str(found.version): found
        for found in versions
        if found.run_id == run_id and found.tags.get(_DIGEST_TAG) == digest
    }
    if not same:
        return None
    number = recorded if recorded in same else min(same, key=int)
    return _Known(number, recorded_files(same[number].tags))


def _new_version(files: ModelFolder, registration: Registration) -> str:
    """Upload the model, then register it; return the number of the version."""
    name, store = registration.name, files.store
    sizes = files.upload()
    try:
        with store.guarded(f"{name!r} cannot be looked up"):
            store.client.get_registered_model(name)
    except NotInStoreError:
        with store.guarded(f"{name!r} cannot be registered"):
            store.client.create_registered_model(name)
    digest = {_DIGEST_TAG: content_digest(files.bundle)}
    with store.guarded(f"a version of {name!r} cannot be registered"):
        made = store.client.create_model_version(
            name,
            files.uri,
            run_id=files.run.run_id,
            tags={**registration.tags, **digest, **files_tag(sizes)},
        )
    return str(made.version)
