"""Packed stores of a family: built for a data set, listed, described."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sitenet_core.config import (
    DataConfig,
    StrictModel,
    TargetConfig,
    TrialConfig,
    problems_of,
)
from sitenet_core.config.machine import available_cpus
from sitenet_core.data import (
    BuildOptions,
    PackedStore,
    Split,
    StoreSummary,
    data_root,
    default_store_root,
    list_stores,
    make_split,
    open_or_build,
    open_verified,
    prototype_keys,
)
from sitenet_core.data.build import OnProgress
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.families.protocol import ModelFamily
from sitenet_core.families.registry import get_family, recipe
from sitenet_core.features.elements import imputed_in


@dataclass(frozen=True)
class StoreBuilding:
    """Where and with how many processes stores are built on this machine."""

    root: Path | None = None
    """Folder of the stores; None is `default_store_root()`."""
    workers: int | None = None
    """Processes; None is one per CPU."""


@dataclass(frozen=True)
class StoreRequest:
    """What `sitenet data build` was asked for."""

    source: str
    labels: str | None
    column: str
    """Name of the value column of a CSV without header."""
    family: str
    cell: tuple[str, ...]
    """`KEY=VALUE` changes of the family's default settings."""
    workers: int | None
    """Processes; None is one per CPU."""
    max_failed_fraction: float


def build_requested_store(
    request: StoreRequest, on_progress: OnProgress | None = None
) -> dict[str, Any]:
    """Build or find the store that was asked for; return its description.

    Raises:
        ConfigError: if a setting is not allowed or the source cannot be found.
        DataError: if the data set cannot be used.
    """
    family = get_family(request.family)
    settings = parse_settings(family, request.cell)
    try:
        data = DataConfig(
            source=request.source,
            labels=request.labels,
            target=TargetConfig(column=request.column, name=request.column, unit=""),
            max_failed_fraction=request.max_failed_fraction,
        )
    except ValidationError as error:
        raise ConfigError(_text(DataConfig, error)) from error
    # Only a build reads structures; opening a store needs no pymatgen.
    from sitenet_core.structures.sources import find_source

    options = _options(data, StoreBuilding(workers=request.workers))
    source = find_source(data, data_root())
    return describe_store(
        open_or_build(source, recipe(family, settings), options, on_progress)
    )


def open_family_store(
    data: DataConfig,
    family: ModelFamily,
    settings: StrictModel,
    building: StoreBuilding = StoreBuilding(),
    on_progress: OnProgress | None = None,
) -> PackedStore:
    """Return the store of `data` for `family` with `settings`, built if need be.

    Raises:
        ConfigError: if the source cannot be found.
        DataError: if the data set cannot be used.
    """
    # Only a build reads structures; opening a store needs no pymatgen.
    from sitenet_core.structures.sources import open_source

    source = open_source(data, data_root())
    options = _options(data, building)
    return open_or_build(source, recipe(family, settings), options, on_progress)


def _options(data: DataConfig, building: StoreBuilding) -> BuildOptions:
    return BuildOptions(
        root=building.root or default_store_root(),
        workers=building.workers or available_cpus(),
        max_failed_fraction=data.max_failed_fraction,
    )


def split_of_store(
    store: PackedStore,
    data: DataConfig,
    base: TrialConfig,
    building: StoreBuilding = StoreBuilding(),
) -> Split:
    """Return the split of a store of `data` that all trainings from `base` share.

    Prototypes, where the split is by them, are found from the source's own crystals,
    so that the groups do not depend on the settings of the store.

    Raises:
        ConfigError: if the source cannot be found.
        DataError: as `make_split`.
    """
    limit = unit_cell_limit(data, base)
    if data.split.kind != "prototype":
        return make_split(store, data, limit)
    from sitenet_core.structures.sources import open_source

    source = open_source(data, data_root())
    workers = _options(data, building).workers
    prototypes = prototype_keys(source, store.ids, workers=workers)
    return make_split(store, data, limit, prototypes)


def unit_cell_limit(data: DataConfig, config: TrialConfig) -> int:
    """Return the largest primitive cell, in sites, to train and validate on.

    It is declared with the data, or the `cell.max_atoms` that every family has; it
    comes from a base configuration, never from sampled values.
    """
    if data.unit_cell_limit is not None:
        return data.unit_cell_limit
    return int(config.model_dump()["cell"]["max_atoms"])


def parse_settings(family: ModelFamily, assignments: tuple[str, ...]) -> StrictModel:
    """Return the family's default settings with `KEY=VALUE` changes.

    Raises:
        ConfigError: if a key or a value is not allowed.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"{assignment!r}: expected KEY=VALUE, as max_atoms=100")
        try:
            changes[key.strip()] = YAML(typ="safe").load(text)
        except YAMLError as error:
            raise ConfigError(
                f"--cell {assignment!r}: the value is not YAML; give a number, a word "
                "or null, as max_atoms=100"
            ) from error
    defaults = family.default_settings
    try:
        return type(defaults).model_validate({**defaults.model_dump(), **changes})
    except ValidationError as error:
        raise ConfigError(f"--cell: {_text(type(defaults), error)}") from error


def describe_store(store: PackedStore) -> dict[str, Any]:
    """Return what `store` holds as plain data: counts, settings, skipped rows.

    `imputed` has, by column, the elements that are there without a tabulated value.
    """
    header, report = store.header, store.report
    return {
        "folder": str(store.path),
        "source": header.source,
        "family": header.family,
        "settings": dict(header.settings),
        "digest": store.digest,
        "read": report.n_read,
        "stored": report.n_stored,
        "labels": sorted(header.labels),
        "folds": header.has_folds,
        "bytes": header.bytes,
        "imputed": imputed_in(store.formulas),
        "skipped": [row.model_dump() for row in report.skipped],
    }


def find_store(name: str, root: Path | None = None) -> PackedStore:
    """Return the store in folder `name`, or whose name below `root` begins so.

    Raises:
        DataError: if there is none, or several.
        StoreError: if it is damaged, as `open_verified`.
    """
    if Path(name).is_dir():
        return open_verified(Path(name))
    folder = root or default_store_root()
    folders = folder.iterdir() if folder.is_dir() else ()
    found = sorted(p for p in folders if p.is_dir() and p.name.startswith(name))
    if len(found) != 1:
        what = "several stores begin" if found else "no store begins"
        raise DataError(
            f"{folder}: {what} with {name!r}; `sitenet data list` names them all, "
            "`sitenet data build SOURCE` makes one"
        )
    return open_verified(found[0])


def store_rows(root: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per store below `root`, damaged ones with what is wrong."""
    return [_row(summary) for summary in list_stores(root or default_store_root())]


def _row(summary: StoreSummary) -> dict[str, Any]:
    header = summary.header
    if header is None:
        known = dict.fromkeys(("source", "family", "settings", "crystals", "bytes"))
        return {"name": summary.path.name, **known, "problem": summary.problem}
    return {
        "name": summary.path.name,
        "source": header.source,
        "family": header.family,
        "settings": dict(header.settings),
        "crystals": header.n_crystals,
        "bytes": header.bytes,
        "problem": None,
    }


def _text(model: type[StrictModel], error: ValidationError) -> str:
    problems = problems_of(model, error)
    return "; ".join(f"{'.'.join(map(str, p.location))}: {p.message}" for p in problems)
