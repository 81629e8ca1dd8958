"""Registered models: bundles go in as pyfunc models without a pickle, and come out."""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ruamel.yaml import YAML

from search.tracking.location import sqlite_file
from search.tracking.mirror import content_digest
from search.tracking.store import (
    LoggedRun,
    MlflowStore,
    NotInStoreError,
    PyfuncModel,
    displayed,
    save_pyfunc,
)
from sitenet_core.config import nearest
from sitenet_core.errors import ConfigError, InfrastructureError

LOADER_MODULE = "sitenet_core.predict.pyfunc"
CHAMPION = "champion"
_DIGEST_TAG = "bundle_digest"
_MODEL_URI = re.compile(r"models:/([^@/]+)(?:@([^@/]+)|/(\d+))")
_ALLOWED_NAME = re.compile(r"[^/:@%\"']+")
_DISTRIBUTIONS = ("sitenet-search", "torch", "numpy", "pymatgen", "safetensors")


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
    digest = content_digest(bundle)
    number = _registered_version(store, run, registration.name, digest)
    if number is None:
        source = _upload_model(store, run, bundle, registration)
        number = _new_version(store, run, source, registration, digest)
    _set_alias(store, registration, number)
    return RegisteredModel(registration.name, number, registration.alias)


def restore_version(
    store: MlflowStore, run: LoggedRun, bundle: Path, registration: Registration
) -> bool:
    """Register `bundle` again if the store lost its version, or the version its files.

    The alias is set only where no version has it: a later study may have taken it.

    Returns:
        Whether anything was missing.

    Raises:
        InfrastructureError: if MLflow does not take the model.
    """
    digest = content_digest(bundle)
    number = _registered_version(store, run, registration.name, digest)
    missing = number is None
    if number is None:
        source = _upload_model(store, run, bundle, registration)
        number = _new_version(store, run, source, registration, digest)
    elif not store.files(run.run_id, _model_folder(digest)):
        _upload_model(store, run, bundle, registration)
        missing = True
    with store.guarded(f"{registration.name!r} cannot be looked up"):
        aliases = store.client.get_registered_model(registration.name).aliases
    if registration.alias not in aliases:
        _set_alias(store, registration, number)
        missing = True
    return missing


def _set_alias(store: MlflowStore, registration: Registration, number: str) -> None:
    with store.guarded(f"alias {registration.alias!r} cannot be set"):
        store.client.set_registered_model_alias(
            registration.name, registration.alias, number
        )


def _model_folder(digest: str) -> str:
    """Return a folder for one version: a run may hold several."""
    return f"model-{digest[:16]}"


def _upload_model(
    store: MlflowStore, run: LoggedRun, bundle: Path, registration: Registration
) -> str:
    """Store `bundle` in MLflow's format with `run` and return where it lies."""
    folder = _model_folder(content_digest(bundle))
    model = _model(registration.loader_module)
    with tempfile.TemporaryDirectory(prefix="sitenet-model-") as scratch:
        save_pyfunc(Path(scratch) / "model", bundle, model)
        store.upload(run.run_id, Path(scratch) / "model", folder)
    return f"{run.artifact_uri}/{folder}"


def fetch_bundle(model: str, uri: str) -> Path:
    """Return the local bundle folder of a registered model.

    Args:
        model: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
        uri: of the MLflow store, from `tracking_uri`.

    Raises:
        ConfigError: if the model's name is malformed, unknown, or not one of ours.
        InfrastructureError: if MLflow does not answer or the files cannot be fetched.
    """
    parts = _MODEL_URI.fullmatch(model)
    if parts is None:
        raise ConfigError(
            f"{model!r} is not a registered model: write models:/NAME@{CHAMPION} or "
            "models:/NAME/VERSION, or give the folder of a bundle"
        )
    name, alias, number = parts.groups()
    database = sqlite_file(uri)
    if database is not None and not database.is_file():
        raise ConfigError(
            f"{model}: there is no MLflow store at {database}; name the folder of "
            "studies with --dir, or set MLFLOW_TRACKING_URI"
        )
    store = MlflowStore(uri)
    try:
        with store.guarded(f"{model} cannot be looked up"):
            client = store.client
            if alias is not None:
                found = client.get_model_version_by_alias(name, alias)
            else:
                found = client.get_model_version(name, number)
    except InfrastructureError as error:
        raise _explained(store, model, name, error) from error
    return _bundle_in(
        _local(store, str(found.source), f"{name}-{found.version}"), model
    )


def _registered_version(
    store: MlflowStore, run: LoggedRun, name: str, digest: str
) -> str | None:
    with store.guarded(f"versions of {name!r} cannot be listed"):
        versions = store.client.search_model_versions(f"name = '{name}'")
    for found in versions:
        if found.run_id == run.run_id and found.tags.get(_DIGEST_TAG) == digest:
            return str(found.version)
    return None


def _model(loader_module: str) -> PyfuncModel:
    """Return what a promoted model says of itself to MLflow."""
    return PyfuncModel(
        loader_module=loader_module,
        requirements=[_requirement(name) for name in _DISTRIBUTIONS],
        inputs={"id": False, "cif": True},
        outputs={
            "id": "string",
            "prediction": "double",
            "unit": "string",
            "status": "string",
            "reason": "string",
        },
    )


def _requirement(distribution: str) -> str:
    """Return the pin of what is installed; none for a program run from its source."""
    try:
        return f"{distribution}=={version(distribution)}"
    except PackageNotFoundError:
        return distribution


def _new_version(
    store: MlflowStore,
    run: LoggedRun,
    source: str,
    registration: Registration,
    digest: str,
) -> str:
    name, client = registration.name, store.client
    try:
        with store.guarded(f"{name!r} cannot be looked up"):
            client.get_registered_model(name)
    except NotInStoreError:
        with store.guarded(f"{name!r} cannot be registered"):
            client.create_registered_model(name)
    with store.guarded(f"a version of {name!r} cannot be registered"):
        made = client.create_model_version(
            name,
            source,
            run_id=run.run_id,
            tags={**registration.tags, _DIGEST_TAG: digest},
        )
    return str(made.version)


def _explained(
    store: MlflowStore, model: str, name: str, error: InfrastructureError
) -> InfrastructureError | ConfigError:
    """Return what to tell the user: which models there are, if this one is not."""
    with store.guarded("the registered models cannot be listed"):
        names = [found.name for found in store.client.search_registered_models()]
        if name in names:
            versions = store.client.search_model_versions(f"name = '{name}'")
            aliases = store.client.get_registered_model(name).aliases
        elif isinstance(error, NotInStoreError):
            hint = nearest(name, names) if names else "`sitenet promote` registers one"
            return ConfigError(
                f"{model}: no model {name!r} is registered at {displayed(store.uri)}; "
                f"{hint}"
            )
        else:
            return error
    numbers = ", ".join(sorted((str(v.version) for v in versions), key=int)) or "none"
    return ConfigError(
        f"{model}: model {name!r} has no such version or alias (versions: {numbers}; "
        f"aliases: {', '.join(sorted(aliases)) or 'none'}); name one of these"
    )


def _local(store: MlflowStore, source: str, label: str) -> Path:
    """Return the model folder on this machine, fetched once if it is elsewhere."""
    if source.startswith(("file:", "/")):
        return store.download(source, None)
    key = hashlib.sha256(f"{store.uri} {source}".encode()).hexdigest()[:16]
    cache = Path.home() / ".cache" / "sitenet" / "models"
    final = cache / f"{label}-{key}"
    if final.is_dir():
        return final
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        fetched = store.download(source, Path(scratch))
        try:
            os.replace(fetched, final)  # noqa: PTH105 - the target may be made meanwhile
        except OSError:
            if not final.is_dir():
                raise
    return final


def _bundle_in(folder: Path, model: str) -> Path:
    """Return the bundle inside a model folder in MLflow's format.

    Raises:
        ConfigError: if the model was not registered by this program.
    """
    description = folder / "MLmodel"
    if not description.is_file():
        raise InfrastructureError(
            f"{model}: its files are gone from {folder}; restore the artifacts, or "
            "register the bundle again with `sitenet promote`"
        )
    flavors = YAML(typ="safe").load(description.read_text(encoding="utf-8"))["flavors"]
    python = flavors.get("python_function", {})
    bundle = folder / str(python.get("data"))
    if not (bundle / "bundle.json").is_file():
        raise ConfigError(
            f"{model} is not a Site-Net bundle (loader {python.get('loader_module')}); "
            f"name a model that `sitenet promote` registered"
        )
    return bundle
