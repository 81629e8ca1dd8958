"""The data set that needs no download: pymatgen's prototypes and substitutions.

pymatgen ships 288 real prototype structures (the AFLOW library: M. J. Mehl et al.,
Comput. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017). Each is taken
as it is and up to three more times, every element replaced by a neighbour in its group
of the periodic table and the cell scaled by the atomic radii. The label is the density,
which pymatgen computes from the structure: a demonstration, not a measurement.
"""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element, Structure

from sitenet_core.errors import DataError
from sitenet_core.structures.sources.source import RawItem, Source

VERSION = 1
"""Raised whenever the rules here give other structures, ids or labels."""
_SHIFTS = (0, 1, 2, 3)
"""How far along its group every element is moved; 0 is the prototype itself."""
_GROUPS = (
    "Li Na K Rb Cs",
    "Be Mg Ca Sr Ba",
    "Sc Y La",
    "Ti Zr Hf",
    "V Nb Ta",
    "Cr Mo W",
    "Mn Tc Re",
    "Fe Ru Os",
    "Co Rh Ir",
    "Ni Pd Pt",
    "Cu Ag Au",
    "Zn Cd Hg",
    "B Al Ga In Tl",
    "C Si Ge Sn Pb",
    "N P As Sb Bi",
    "O S Se Te",
    "F Cl Br I",
    "Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
)
"""Elements that take each other's place; one in no group stays."""


class EmbeddedSource(Source):
    """The prototypes and their substitutions, with their density in g/cm³."""

    @property
    def name(self) -> str:
        """`embedded`."""
        return "embedded"

    @property
    def columns(self) -> tuple[str, ...]:
        """The density, in g/cm³."""
        return ("density",)

    @property
    def has_folds(self) -> bool:
        """No official folds."""
        return False

    def digest(self) -> str:
        """Return the SHA-256 of the rules' version and of every structure and id."""
        return _digest()

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(_structures())

    def items(self) -> Iterator[RawItem]:
        """Return the structures: all prototypes, then all first neighbours, and on."""
        for key, structure in _structures():
            labels = {"density": float(structure.density)}
            yield RawItem(key, _as_it_is, structure, labels)


def _as_it_is(structure: Structure) -> Structure:
    return structure


@cache
def _structures() -> tuple[tuple[str, Structure], ...]:
    """Return (id, structure) pairs; a composition occurs once per prototype."""
    found: list[tuple[str, Structure]] = []
    names: Counter[str] = Counter()
    seen: set[tuple[int, str]] = set()
    prototypes = _prototypes()
    for shift in _SHIFTS:
        for i, (label, prototype) in enumerate(prototypes):
            structure = substitute(prototype, shift)
            if structure is None or (i, structure.formula) in seen:
                continue
            seen.add((i, structure.formula))
            key = f"{label}-{structure.composition.reduced_formula}"
            names[key] += 1
            found.append((key if names[key] == 1 else f"{key}-{names[key]}", structure))
    return tuple(found)


def _prototypes() -> list[tuple[str, Structure]]:
    pairs: list[tuple[str, Structure]] = []
    for entry in _library():
        tags: dict[str, Any] = entry["tags"]
        pairs.append((_label(tags), Structure.from_dict(entry["snl"])))
    return sorted(pairs, key=lambda pair: (pair[0], pair[1].formula))


def _library() -> list[dict[str, Any]]:
    # Read from pymatgen's file: its module parses every structure's bibliography when
    # it is imported, which takes seconds.
    found = find_spec("pymatgen.analysis.prototypes")
    if found is None or found.origin is None:
        raise DataError(
            "the data source `embedded` needs pymatgen's AFLOW prototypes, and this "
            "pymatgen has none; install the version that pyproject.toml names"
        )
    file = Path(found.origin).with_name("aflow_prototypes.json.gz")
    library: list[dict[str, Any]] = json.loads(gzip.decompress(file.read_bytes()))
    return library


def _label(tags: dict[str, Any]) -> str:
    """Return `AB_cF8_225_a_b-Halite`: AFLOW's label and the mineral, where known."""
    mineral = "".join(c if c.isalnum() else "_" for c in str(tags["mineral"] or ""))
    words = [word for word in mineral.split("_") if word]
    return "-".join([str(tags["aflow"]).replace(" ", ""), "_".join(words)]).rstrip("-")


def substitute(structure: Structure, shift: int) -> Structure | None:
    """Return `structure` with every element moved `shift` places along its group.

    The cell is scaled isotropically by the mean ratio of the elements' atomic radii.
    None where two elements would become one.
    """
    old = structure.composition.element_composition
    places = {element: _neighbour(element, shift) for element in old}
    if len(set(places.values())) < len(places):
        return None
    if all(new == element for element, new in places.items()):
        return structure if shift == 0 else None
    scale = _mean_radius(old, places) / _mean_radius(old, {e: e for e in old})
    return Structure(
        structure.lattice.scale(float(structure.volume * scale**3)),
        [places[Element(site.specie.symbol)] for site in structure],
        structure.frac_coords,
    )


def _neighbour(element: Element, shift: int) -> Element:
    for group in _members():
        if element in group:
            return group[(group.index(element) + shift) % len(group)]
    return element


@cache
def _members() -> Sequence[tuple[Element, ...]]:
    return [tuple(map(Element, group.split())) for group in _GROUPS]


def _mean_radius(old: Composition, places: dict[Element, Element]) -> float:
    radii = [float(places[element].atomic_radius) for element in old]
    return float(np.average(radii, weights=list(old.values())))


@cache
def _digest() -> str:
    digest = hashlib.sha256(f"embedded {VERSION}\n".encode())
    for key, structure in _structures():
        # Rounded, so that another machine's last bit is not another data set.
        numbers = [site.specie.Z for site in structure]
        lattice = (np.round(structure.lattice.matrix, 6) + 0.0).tolist()
        frac = (np.round(structure.frac_coords, 8) + 0.0).tolist()
        digest.update(json.dumps([key, numbers, lattice, frac]).encode())
    return digest.hexdigest()
