"""Predictions for files, folders and zip archives of structures."""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sitenet_core.bundle import Bundle
from sitenet_core.errors import StructureError
from sitenet_core.predict.predictor import Predictor
from sitenet_core.predict.rows import PredictionRow
from sitenet_core.predict.structures import Item, predict_items
from sitenet_core.training.machine import DeviceChoice

if TYPE_CHECKING:
    from pymatgen.core import Structure


def predict_paths(
    bundle: Bundle, paths: Sequence[Path], device: DeviceChoice = "auto"
) -> list[PredictionRow]:
    """Return one row per structure file in `paths`, in a fixed order.

    A path is a structure file, or a folder or zip archive of such files, which are
    taken sorted by name, those in subfolders included; other files in it are passed
    over. The id of a row is the file's path, `ARCHIVE.zip:MEMBER` in an archive. What
    cannot be read or used, an empty folder included, is a row with the reason.
    """
    return predict_items(Predictor(bundle, device), _items(paths))


def _items(paths: Iterable[Path]) -> Iterator[Item]:
    for path in paths:
        if path.is_dir():
            yield from _folder(path)
        elif path.suffix.lower() == ".zip" and path.is_file():
            yield from _archive(path)
        else:
            yield str(path), partial(_read, path)


def _folder(folder: Path) -> Iterator[Item]:
    from sitenet_core.structures.read import is_structure_file

    files = sorted(f for f in folder.rglob("*") if is_structure_file(f.name))
    found = [f for f in files if f.is_file()]
    for file in found:
        yield str(file), partial(_read, file)
    if not found:
        yield str(folder), _fails(f"{folder}: holds no structure file")


def _archive(path: Path) -> Iterator[Item]:
    from sitenet_core.structures.read import is_structure_file

    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(
                name
                for name in archive.namelist()
                if is_structure_file(name) and not name.startswith("__MACOSX/")
            )
    except (zipfile.BadZipFile, OSError) as error:
        yield str(path), _fails(f"{path}: cannot be read as a zip archive ({error})")
        return
    for name in names:
        yield f"{path}:{name}", partial(_read_member, path, name)
    if not names:
        yield str(path), _fails(f"{path}: holds no structure file")


def _read(path: Path) -> "Structure":
    from sitenet_core.structures.read import read_structure

    return read_structure(path)


def _read_member(path: Path, name: str) -> "Structure":
    from sitenet_core.structures.checks import check_structure
    from sitenet_core.structures.read import parse_bytes

    where = f"{path}:{name}"
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(name)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise StructureError(
            f"{where}: cannot be taken out of the archive ({error}); pack it again, "
            "without a password"
        ) from error
    structure = parse_bytes(content, name=where)
    try:
        return check_structure(structure)
    except StructureError as error:
        raise StructureError(f"{where}: {error}") from error


def _fails(reason: str) -> Callable[[], "Structure"]:
    def read() -> "Structure":
        raise StructureError(
            f"{reason}; give a CIF, a POSCAR or a pymatgen JSON, or a folder or zip "
            "of such files"
        )

    return read
