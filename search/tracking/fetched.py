"""Registered models on their way out: from a `models:/` name to a bundle's folder."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from search.tracking.location import sqlite_file
from search.tracking.model_files import file_sizes, lacking, recorded_files
from search.tracking.registry import CHAMPION
from search.tracking.store import MlflowStore, NotInStoreError, displayed
from sitenet_core.config import nearest
from sitenet_core.errors import ConfigError, InfrastructureError

_DESCRIPTION = "MLmodel"
_MODEL_URI = re.compile(r"models:/([^@/]+)(?:@([^@/]+)|/(\d+))")


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
    found = _looked_up(store, model, name, alias, number)
    # A version of before sizes were recorded only has to be one in MLflow's format.
    expected: Mapping[str, int | None] = {_DESCRIPTION: None}
    expected = recorded_files(found.tags) or expected
    folder = _local(store, found, expected)
    lost = lacking(expected, file_sizes(folder))
    if lost:
        study = found.tags.get("study", "NAME")
        raise InfrastructureError(
            f"{model}: its files are damaged in {folder}: "
            f"{', '.join(f'{path} ({how})' for path, how in lost.items())}; `sitenet "
            f"search sync {study}` puts them back"
        )
    return _bundle_in(folder, model)


@dataclass(frozen=True)
class _Version:
    """What the registry says of one version."""

    label: str
    source: str
    """URI of its files."""
    tags: Mapping[str, str]


def _looked_up(
    store: MlflowStore, model: str, name: str, alias: str | None, number: str
) -> _Version:
    """Return the version with an alias, or else with a number.

    Raises:
        ConfigError: if there is none.
        InfrastructureError: if MLflow does not answer.
    """
    try:
        with store.guarded(f"{model} cannot be looked up"):
            if alias is not None:
                found = store.client.get_model_version_by_alias(name, alias)
            else:
                found = store.client.get_model_version(name, number)
    except InfrastructureError as error:
        raise _explained(store, model, name, error) from error
    return _Version(f"{name}-{found.version}", str(found.source), dict(found.tags))


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


def _local(
    store: MlflowStore, version: _Version, expected: Mapping[str, int | None]
) -> Path:
    """Return the model folder on this machine, fetched once if it is elsewhere.

    A copy that lacks something is fetched again: it may have been put back meanwhile.
    """
    source = version.source
    if source.startswith(("file:", "/")):
        return store.download(source, None)
    key = hashlib.sha256(f"{store.uri} {source}".encode()).hexdigest()[:16]
    cache = Path.home() / ".cache" / "sitenet" / "models"
    final = cache / f"{version.label}-{key}"
    if final.is_dir() and not lacking(expected, file_sizes(final)):
        return final
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        fetched = store.download(source, Path(scratch))
        # Somebody may have fetched it meanwhile, and be reading it.
        if lacking(expected, file_sizes(final)):
            shutil.rmtree(final, ignore_errors=True)
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
    text = (folder / _DESCRIPTION).read_text(encoding="utf-8")
    flavors = YAML(typ="safe").load(text)["flavors"]
    python = flavors.get("python_function", {})
    bundle = folder / str(python.get("data"))
    if not (bundle / "bundle.json").is_file():
        raise ConfigError(
            f"{model} is not a Site-Net bundle (loader {python.get('loader_module')}); "
            f"name a model that `sitenet promote` registered"
        )
    return bundle
