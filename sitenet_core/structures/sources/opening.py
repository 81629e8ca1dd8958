"""From what the user wrote under `data:` to a source."""

from pathlib import Path

from sitenet_core.config import DataConfig, nearest
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.structures.read import is_structure_file
from sitenet_core.structures.sources.embedded import EmbeddedSource
from sitenet_core.structures.sources.folder import FolderSource
from sitenet_core.structures.sources.json_records import JsonSource, is_single_structure
from sitenet_core.structures.sources.matbench import MatbenchSource
from sitenet_core.structures.sources.single import SingleSource
from sitenet_core.structures.sources.source import Source
from sitenet_core.structures.sources.table import TableSource

KINDS = (
    "allowed are 'embedded', 'matbench:TASK', or the path of a Parquet table, a folder "
    "or zip of structure files with a CSV, a pymatgen JSON file, a CIF or a POSCAR"
)


def open_source(data: DataConfig, data_root: Path | None) -> Source:
    """Return the source that `data` names; its structures are not read yet.

    A relative path is looked for under `data_root`, then in the working directory.

    Raises:
        ConfigError: if it is no known kind of source, or `labels` does not go with it.
        DataError: if it does not exist, cannot be read, or lacks the target column.
    """
    source = find_source(data, data_root)
    column = data.target.column
    # One file has no labels; it can be looked at and predicted, not trained on.
    if not isinstance(source, SingleSource) and column not in source.columns:
        hint = nearest(column, source.columns) if source.columns else "it has none"
        raise DataError(
            f"{source.name}: has no number column {column!r}, the target of the study; "
            f"{hint} (target.column of the file, --column of a command)"
        )
    return source


def find_source(data: DataConfig, data_root: Path | None) -> Source:
    """Return the source that `data` names, whatever its columns are.

    Raises:
        ConfigError: as `open_source`.
        DataError: if it does not exist or cannot be read.
    """
    kind, colon, task = data.source.partition(":")
    if colon and kind == "matbench":
        return _unlabelled(MatbenchSource(task), data)
    if data.source == "embedded":
        return _unlabelled(EmbeddedSource(), data)
    path = _find(data.source, data_root)
    if path is None:
        raise _missing(data.source, data_root)
    if path.is_dir() or path.suffix.lower() == ".zip":
        labels = _labels(data.labels, data_root)
        return FolderSource(path, data.target.column, labels)
    return _unlabelled(_file_source(path, data.target.column), data)


def _file_source(path: Path, target: str) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return TableSource(path, target)
    if suffix == ".json" and not is_single_structure(path):
        return JsonSource(path, target)
    if is_structure_file(path.name):
        return SingleSource(path)
    hint = " (a CSV goes under data.labels)" if suffix == ".csv" else ""
    raise ConfigError(f"{path}: is no known kind of data source{hint}; {KINDS}")


def _unlabelled(source: Source, data: DataConfig) -> Source:
    """Return `source`, unless a CSV is given that it would not read."""
    if data.labels is not None:
        raise ConfigError(
            f"data.labels is {data.labels!r}, but {source.name} brings its own values; "
            "labels go with a folder or zip of structure files: remove the key"
        )
    return source


def _labels(name: str | None, data_root: Path | None) -> Path | None:
    if name is None:
        return None
    path = _find(name, data_root)
    if path is None or not path.is_file():
        raise DataError(
            f"data.labels {name!r}: there is no such file{_places(name, data_root)}; "
            "give the path of a CSV"
        )
    return path


def _find(name: str, data_root: Path | None) -> Path | None:
    """Return the first existing path; an absolute name is one as it is."""
    roots = [data_root, Path()] if data_root else [Path()]
    paths = (root / name for root in roots if name)
    return next((path for path in paths if path.exists()), None)


def _missing(name: str, data_root: Path | None) -> ConfigError | DataError:
    if ":" in name or (not Path(name).suffix and "/" not in name):
        hint = nearest(name, ["embedded", "matbench:mp_gap"])
        hint = f"{hint} " if hint.startswith("did") else ""
        return ConfigError(
            f"data source {name!r}: is neither a known name nor a path"
            f"{_places(name, data_root)}; {hint}{KINDS}"
        )
    return DataError(
        f"data source {name!r}: there is no such file or folder"
        f"{_places(name, data_root)}; correct data.source, or set "
        "SITENET_DATA to the folder that holds it"
    )


def _places(name: str, data_root: Path | None) -> str:
    """Return where `name` was looked for; an absolute path says that itself."""
    if Path(name).is_absolute():
        return ""
    here = f" in the working directory {Path.cwd()}"
    return f" under the data folder {data_root} or{here}" if data_root else here
