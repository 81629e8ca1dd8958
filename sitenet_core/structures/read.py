"""One structure from one file or text: CIF, POSCAR or pymatgen JSON."""

import json
import re
import warnings
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from pymatgen.core import Structure

from sitenet_core.errors import StructureError
from sitenet_core.structures.checks import check_structure
from sitenet_core.structures.cif import parse_cif

SUFFIXES = (".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".json")
"""Endings of structure files; names that begin with POSCAR or CONTCAR count too."""
ALLOWED = "a CIF, a POSCAR/CONTCAR (.vasp) or a pymatgen Structure as JSON"

_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def read_structure(path: Path) -> Structure:
    """Return the checked structure in the file at `path`, its kind found by content.

    Raises:
        StructureError: if the file cannot be read or its structure cannot be used.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StructureError(
            f"{path}: cannot be read ({error.strerror or error}); give {ALLOWED}"
        ) from error
    return _checked(parse_bytes(content, name=str(path)), str(path))


def structure_from_text(text: str, name: str) -> Structure:
    """Return the checked structure in `text`; `name` stands for it in messages.

    Raises:
        StructureError: if the text cannot be read or its structure cannot be used.
    """
    return _checked(parse_text(text, name), name)


def is_structure_file(name: str) -> bool:
    """Return whether a file of this name is taken for a structure."""
    base = PurePath(name).name
    upper = base.upper()
    return (
        base.lower().endswith(SUFFIXES) or upper.startswith(("POSCAR", "CONTCAR"))
    ) and not base.startswith(".")


def parse_bytes(content: bytes, name: str) -> Structure:
    """Return the structure in a file's `content`, unchecked.

    Raises:
        StructureError: if it is empty, is not text, or cannot be parsed.
    """
    # Like pymatgen: author names in Latin-1 must not stop a CIF.
    text = content.decode("utf-8-sig", errors="replace")
    if _CONTROL.search(text):
        raise StructureError(f"{name}: is not a text file; give {ALLOWED}")
    return parse_text(text, name)


def parse_text(text: str, name: str) -> Structure:
    """Return the structure in `text`, unchecked; its kind is found by content.

    Raises:
        StructureError: if it is empty or cannot be parsed.
    """
    if not text.strip():
        raise StructureError(f"{name}: is empty; give {ALLOWED}")
    if text.lstrip().startswith(("{", "[")):
        return _parse_json(text, name)
    upper = PurePath(name).name.upper()
    if re.search(r"^\s*data_", text, re.MULTILINE | re.IGNORECASE) or (
        upper.endswith((".CIF", ".MCIF"))
    ):
        return parse_cif(text, name)
    return _parse_poscar(text, name)


def structure_from_dict(data: Any, name: str) -> Structure:
    """Return the structure that pymatgen wrote as the mapping `data`, unchecked.

    Raises:
        StructureError: if it is not one.
    """
    if not isinstance(data, dict) or not {"lattice", "sites"} <= data.keys():
        found = ", ".join(map(str, list(data)[:5])) if isinstance(data, dict) else data
        raise StructureError(
            f"{name}: is not a pymatgen Structure: it needs the keys 'lattice' and "
            f"'sites', found is {str(found)[:60] or 'nothing'}; write it with "
            "Structure.to(filename='x.json')"
        )
    if not data["sites"]:
        raise StructureError(
            f"{name}: has no sites; at least one atom is needed: check how it was made"
        )
    return _quietly(partial(Structure.from_dict, data), name, "a pymatgen Structure")


def _checked(structure: Structure, name: str) -> Structure:
    try:
        return check_structure(structure)
    except StructureError as error:
        raise StructureError(f"{name}: {error}") from error


def _parse_json(text: str, name: str) -> Structure:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise StructureError(
            f"{name}: cannot be parsed as JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}; give {ALLOWED}"
        ) from error
    return structure_from_dict(data, name)


def _parse_poscar(text: str, name: str) -> Structure:
    # Here, since it brings all of pymatgen's readers of VASP output: a second that
    # reading a CIF need not wait for.
    from pymatgen.io.vasp import Poscar

    poscar = _quietly(
        partial(Poscar.from_str, text, read_velocities=False), name, "a POSCAR"
    )
    return poscar.structure


def _quietly(read: partial[Any], name: str, kind: str) -> Any:
    """Return what `read` returns, its warnings refused or known to be harmless.

    pymatgen's warnings here concern selective dynamics and isotopes' names, which are
    not used, and one that matters: a POSCAR without element symbols is filled with
    H, He, Li, ...
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = read()
        except Exception as error:  # pymatgen raises many kinds on malformed input
            detail = str(error).split("\n")[0] or type(error).__name__
            if isinstance(error, IndexError):
                detail = "it ends too early"
            elif "at least 1 site" in detail:
                detail = "it has no sites"
            raise StructureError(
                f"{name}: cannot be parsed as {kind} ({detail[:120]}); give {ALLOWED}"
            ) from error
    if any("false names" in str(warning.message) for warning in caught):
        raise StructureError(
            f"{name}: the POSCAR does not name its elements; write their symbols on "
            "the line before the numbers of atoms"
        )
    return result
