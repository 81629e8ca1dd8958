"""What `sitenet doctor` looks at: packages, device, folders, MLflow, Ray."""

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from sitenet_core.data import data_root, default_store_root, list_stores
from sitenet_core.errors import ConfigError

DISTRIBUTION = "sitenet-search"
LOW_DISK_BYTES = 5e9


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    """What was found and, unless all is well, what to do."""


def examine(directory: Path) -> list[Check]:
    """Look at everything a study needs; nothing is changed and nothing started."""
    return [
        *_packages(),
        _device(),
        _data_folder(),
        _store_folder(),
        _disk(directory),
        _tracking(directory),
        _cluster(),
    ]


def _packages() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()}, {os.cpu_count()} CPUs")
    for text in importlib.metadata.requires(DISTRIBUTION) or ():
        requirement = Requirement(text)
        if requirement.marker and "extra" in str(requirement.marker):
            continue
        yield _package(requirement)


def _package(requirement: Requirement) -> Check:
    allowed = str(requirement.specifier) or "any version"
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Check(requirement.name, "failed", f"is missing; install {requirement}")
    release = re.sub(r"\+.*", "", version)
    if not requirement.specifier.contains(release, prereleases=True):
        return Check(
            requirement.name, "failed", f"{version} is outside {allowed}; reinstall"
        )
    return Check(requirement.name, "ok", version)


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        names = [
            torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
        ]
        return Check("device", "ok", ", ".join(names))
    return Check("device", "ok", f"no GPU; CPU with {torch.get_num_threads()} threads")


def _data_folder() -> Check:
    try:
        root = data_root()
    except ConfigError as error:
        return Check("data folder", "failed", str(error))
    if root is None:
        return Check(
            "data folder", "warning", "none; set SITENET_DATA, or give absolute paths"
        )
    return Check("data folder", "ok", str(root))


def _store_folder() -> Check:
    root = default_store_root()
    if not root.exists():
        return Check("packed stores", "ok", f"{root} (empty)")
    return Check("packed stores", "ok", f"{root} ({len(list_stores(root))} stores)")


def _disk(directory: Path) -> Check:
    existing = next(
        p for p in (directory.absolute(), *directory.absolute().parents) if p.exists()
    )
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1e9:.0f} GB free at {existing}"
    if free < LOW_DISK_BYTES:
        return Check("disk", "warning", f"{detail}; checkpoints may not fit")
    return Check("disk", "ok", detail)


def _tracking(directory: Path) -> Check:
    from search.tracking import probe, tracking_uri

    try:
        uri = tracking_uri(directory)
    except ConfigError as error:
        return Check("mlflow", "failed", str(error))
    problem = probe(uri)
    if problem is None:
        return Check("mlflow", "ok", uri)
    return Check("mlflow", "failed", f"{uri} does not answer: {problem}")


def _cluster() -> Check:
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Check("ray", "ok", "RAY_ADDRESS is not set: trials run on this machine")
    from search.engine.ray_cluster import probe

    problem = probe(address)
    if problem is None:
        return Check("ray", "ok", f"the cluster at {address} answers")
    return Check("ray", "failed", f"{address} does not answer: {problem}")
