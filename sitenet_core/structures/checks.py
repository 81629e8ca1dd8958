"""Whether a structure can be used, and its cleaned form.

Supported: fully occupied sites of Z = 1 to 103 in a lattice that is periodic in three
directions. Everything else is refused with a reason that says what to do; nothing is
mended by guessing. The one silent change is of names: deuterium and tritium are
hydrogen, as the elemental properties are those of the element.
"""

from collections import defaultdict
from functools import cache

import numpy as np
from pymatgen.core import (
    DummySpecies,
    Element,
    Lattice,
    PeriodicSite,
    Species,
    Structure,
)

from sitenet_core.errors import StructureError
from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.lattice import minkowski_basis, site_pairs

FULL_OCCUPANCY = 0.999
"""Least occupancy that counts as full; as far above 1 is tolerated."""
MIN_DISTANCE = 0.1
"""Shortest distance between two sites, in Å; below it they are one site twice."""
MAX_ATOMIC_NUMBER = 103
"""Heaviest element (lawrencium) with tabulated elemental properties."""
MIN_VOLUME = 0.1
"""Smallest cell, in Å³: a tenth of the densest hydrogen's volume per atom."""
MIN_CELL_SHAPE = 1e-4
"""Least volume over a·b·c; below it the three vectors lie in a plane."""
MAX_VECTOR = 1e4
"""Longest lattice vector, in Å: ten times the longest periods known in crystals. Above
it a length is in another unit or damaged, and searches for neighbours, which divide the
cell into boxes, run out of memory."""
MANY_SITES = 500
"""Sites above which a search in boxes is quicker than looking at all pairs."""


def check_structure(structure: Structure) -> Structure:
    """Return `structure` with one element or ion per site and nothing else.

    Order of sites, coordinates, lattice and oxidation states are kept; D and T become
    H; site properties are dropped.

    Raises:
        StructureError: if there are no sites; if the lattice or a coordinate is not
            finite, or the lattice is flat, longer than 10⁴ Å or not periodic in three
            directions; if a site is partially occupied, shared, of an unknown element
            or of Z ≥ 104; or if two sites are closer than 0.1 Å.
    """
    if len(structure) == 0:
        raise StructureError(
            "the structure has no sites; at least one atom is needed: check that the "
            "file lists atom positions"
        )
    _check_lattice(structure.lattice)
    _check_coordinates(structure)
    if not all(map(_is_plain, structure)):
        species = [_full_species(site, i) for i, site in enumerate(structure)]
        structure = Structure(structure.lattice, species, structure.frac_coords)
    _check_distances(structure)
    return structure


def check_crystal(crystal: Crystal) -> Crystal:
    """Return `crystal`, which is held to what `check_structure` holds a structure to.

    Arrays that are plainly sound are told so quickly; all others go the long way.

    Raises:
        StructureError: as `check_structure`.
    """
    if _is_sound(crystal):
        return crystal
    return Crystal.from_structure(check_structure(crystal.to_structure()))


def _is_sound(crystal: Crystal) -> bool:
    """Return True only if `check_structure` would have nothing to say."""
    if not 0 < crystal.n_sites <= MANY_SITES:
        return False
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac).all()):
        return False
    if not 1 <= crystal.numbers.min() <= crystal.numbers.max() <= MAX_ATOMIC_NUMBER:
        return False
    lengths = np.sqrt((crystal.lattice**2).sum(axis=1))
    volume = abs(float(np.linalg.det(crystal.lattice)))
    least = max(MIN_VOLUME, MIN_CELL_SHAPE * float(lengths.prod()))
    if lengths.max() > MAX_VECTOR or volume < least:
        return False
    basis = minkowski_basis(crystal.lattice)
    return _is_spacious(basis @ crystal.lattice, crystal.frac @ np.linalg.inv(basis))


def _is_spacious(lattice: np.ndarray, frac: np.ndarray) -> bool:
    """Return whether no two sites are surely closer than `MIN_DISTANCE`.

    A vector shorter than half of each distance between opposite faces is its own
    nearest image: coordinates wrapped to [-½, ½] show every pair that is too close.
    """
    heights = 1 / np.sqrt((np.linalg.inv(lattice) ** 2).sum(axis=0))
    if heights.min() < 4 * MIN_DISTANCE:
        return False
    first, second = site_pairs(len(frac))
    apart = frac[second] - frac[first]
    apart -= np.rint(apart)
    cartesian = apart @ lattice
    squares = np.einsum("ij,ij->i", cartesian, cartesian)
    return not len(squares) or float(squares.min()) > (2 * MIN_DISTANCE) ** 2


def _check_lattice(lattice: Lattice) -> None:
    matrix = np.asarray(lattice.matrix, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise StructureError(
            f"the lattice {_vectors(matrix)} holds a number that is not finite; give "
            "three finite vectors in Å"
        )
    if not all(lattice.pbc):
        raise StructureError(
            f"the lattice is periodic along {sum(lattice.pbc)} of its 3 vectors; only "
            "crystals that repeat along all three are supported"
        )
    lengths = np.linalg.norm(matrix, axis=1)
    if lengths.max() > MAX_VECTOR:
        raise StructureError(
            f"the lattice has a vector of {lengths.max():.4g} Å, at most "
            f"{MAX_VECTOR:g} Å is supported: check the cell lengths and their unit (Å)"
        )
    volume = abs(float(np.linalg.det(matrix)))
    box = float(np.prod(lengths))
    if volume < MIN_VOLUME or volume < MIN_CELL_SHAPE * box:
        raise StructureError(
            f"the lattice {_vectors(matrix)} has almost no volume ({volume:.3g} Å³); "
            "its three vectors must span a cell: check lengths, angles and units (Å)"
        )


def _check_coordinates(structure: Structure) -> None:
    bad = np.flatnonzero(~np.isfinite(structure.frac_coords).all(axis=1))
    if bad.size:
        site = structure[int(bad[0])]
        raise StructureError(
            f"{_name(site, int(bad[0]))} has a coordinate that is not a finite number "
            f"({bad.size} of {len(structure)} sites have); give finite coordinates"
        )


def _is_plain(site: PeriodicSite) -> bool:
    """Return whether a site needs no cleaning: one whole element, nothing else."""
    if len(site.species) != 1 or site.properties:
        return False
    ((kind, amount),) = site.species.items()
    return amount == 1 and kind in _elements()


@cache
def _elements() -> frozenset[Element]:
    return frozenset(Element.from_Z(z) for z in range(1, MAX_ATOMIC_NUMBER + 1))


def _full_species(site: PeriodicSite, index: int) -> Element | Species:
    """Return the one element or ion of a site.

    Amounts of the same element in the same oxidation state add up, so that a site
    shared by hydrogen and deuterium is a full hydrogen site.
    """
    amounts: defaultdict[tuple[int, float | None], float] = defaultdict(float)
    for kind, amount in site.species.items():
        if isinstance(kind, DummySpecies) or kind.Z > MAX_ATOMIC_NUMBER:
            raise _unknown_element(kind, _name(site, index))
        amounts[int(kind.Z), _oxidation(kind)] += amount
    total = float(sum(amounts.values()))
    if not total <= 2 - FULL_OCCUPANCY:
        raise StructureError(
            f"{_name(site, index)} is occupied {total:.4g} times: atoms overlap there; "
            "at most one atom fits on a site: remove the duplicate, or give "
            "occupancies of at most 1"
        )
    (number, oxidation), amount = max(amounts.items(), key=lambda pair: pair[1])
    if not amount >= FULL_OCCUPANCY:
        raise StructureError(
            f"{_name(site, index)} is partially occupied or shared; only fully "
            "occupied sites of one element are supported (an occupancy of "
            f"{FULL_OCCUPANCY} counts as full): order the structure first, with "
            "pymatgen's OrderDisorderedStructureTransformation for instance"
        )
    element = Element.from_Z(number)
    return element if oxidation is None else Species(element.symbol, oxidation)


def _unknown_element(kind: Element | Species | DummySpecies, where: str) -> Exception:
    if isinstance(kind, DummySpecies):
        return StructureError(
            f"{where} holds {kind.symbol!r}, which is not a chemical element; elements "
            "from H to Lr, D and T are supported: mend the symbol or remove the site"
        )
    return StructureError(
        f"{where} holds element {kind.Z}; the elemental properties that the model "
        f"needs are known up to Z = {MAX_ATOMIC_NUMBER} (Lr): leave this crystal out"
    )


def _oxidation(kind: Element | Species) -> float | None:
    if isinstance(kind, Element) or kind.oxi_state is None:
        return None
    return float(kind.oxi_state)


def _name(site: PeriodicSite, index: int) -> str:
    # Not `species_string`, which cannot format a whole number of atoms on one site.
    kinds = [
        str(kind) if amount == 1 and len(site.species) == 1 else f"{kind}:{amount:g}"
        for kind, amount in site.species.items()
    ]
    where = _triple(site.frac_coords)
    return f"site {index + 1} ({', '.join(kinds)}) at {where}"


def _check_distances(structure: Structure) -> None:
    first, second, _, distances = structure.get_neighbor_list(MIN_DISTANCE)
    if len(distances) == 0:
        return
    nearest = int(np.argmin(distances))
    i, j = sorted((int(first[nearest]), int(second[nearest])))
    raise StructureError(
        f"sites {i + 1} ({structure[i].species_string}) and {j + 1} "
        f"({structure[j].species_string}) overlap: they are {distances[nearest]:.3f} Å "
        f"apart, at least {MIN_DISTANCE} Å is needed; remove the duplicate, or give "
        "special positions with more digits"
    )


def _triple(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"


def _vectors(matrix: np.ndarray) -> str:
    return " ".join(_triple(row) for row in matrix)
