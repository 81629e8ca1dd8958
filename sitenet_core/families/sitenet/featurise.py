"""From a crystal to the arrays of the Site-Net store.

Convention: the supercell has n·m atoms, m images of each of the n unique sites, and
atom j is an image of unique site floor(j / m). Row i holds the pairs of unique site i
with every atom of the supercell, its own self pair (distance 0) first.
"""

from typing import TYPE_CHECKING

import numpy as np

from sitenet_core.data.schema import CRYSTAL, ArraySpec
from sitenet_core.errors import StructureError
from sitenet_core.families.sitenet.settings import CellSettings
from sitenet_core.structures.canonical import Supercell, canonical_supercell
from sitenet_core.structures.cell import Crystal, primitive_cell
from sitenet_core.structures.distances import pair_distances
from sitenet_core.structures.primitive import invariant_primitive_cell
from sitenet_core.structures.supercell import scaling_matrix

if TYPE_CHECKING:
    from pymatgen.core import Structure

FEATURE_VERSION = 1
"""Raised whenever `featurise` returns other numbers for the same input."""

SCHEMA: tuple[ArraySpec, ...] = (
    ArraySpec("n_unique_sites", CRYSTAL, "int32", "1", "sites of the primitive cell"),
    ArraySpec("n_pairs", CRYSTAL, "int64", "1", "rows of the pair scope"),
    ArraySpec("n_atoms", CRYSTAL, "int32", "1", "atoms of the supercell"),
    ArraySpec("lattice", CRYSTAL, "float64", "Å", "primitive lattice rows", (3, 3)),
    ArraySpec(
        "scaling_matrix", CRYSTAL, "int32", "1", "supercell = matrix · lattice", (3, 3)
    ),
    ArraySpec("atomic_numbers", "site", "uint8", "1", "atomic number Z"),
    ArraySpec("oxidation_states", "site", "float32", "1", "0 where undecorated"),
    ArraySpec("site_multiplicity", "site", "uint16", "1", "sites merged into this one"),
    ArraySpec("frac_coords", "site", "float64", "1", "in the primitive lattice", (3,)),
    ArraySpec("pairs_per_site", "site", "int32", "1", "length of the site's row"),
    ArraySpec("pair_partner", "pair", "uint16", "1", "unique site of atom j"),
    ArraySpec(
        "pair_distance", "pair", "float32", "Å", "minimum image in the supercell"
    ),
    ArraySpec("pair_multiplicity", "pair", "uint16", "1", "pairs merged into this one"),
)
"""Every array of one crystal, in order."""

LARGEST_N = int(np.iinfo(np.uint16).max)
"""Most unique sites that `pair_partner` can name."""


def featurise(structure: "Structure", settings: CellSettings) -> dict[str, np.ndarray]:
    """Return the arrays of `SCHEMA` for one crystal.

    Features of Site-Net, arXiv:2209.08190, section 3.2; elemental properties and
    log-Coulomb values are functions of Z and distance, and not stored.

    Raises:
        StructureError: if this crystal cannot be taken; the message is for its row.
    """
    supercell = supercell_of(structure, settings)
    crystal = supercell.crystal
    if crystal.n_sites > LARGEST_N:
        raise StructureError(
            f"primitive cell has {crystal.n_sites} sites; at most {LARGEST_N} can be "
            "taken"
        )
    distances = pair_distances(crystal, supercell.scaling)
    return (
        _crystal_arrays(supercell, distances)
        | _site_arrays(crystal, distances)
        | _pair_arrays(distances)
    )


def supercell_of(structure: "Structure", settings: CellSettings) -> Supercell:
    """Return the primitive cell and the supercell that `settings` ask for.

    Raises:
        StructureError: if the structure has no such cell.
    """
    if settings.reduction == "canonical":
        crystal = invariant_primitive_cell(
            Crystal.from_structure(structure), settings.primitive_tolerance
        )
        return canonical_supercell(crystal, settings.max_atoms)
    crystal = primitive_cell(structure, settings.primitive_tolerance)
    scaling = scaling_matrix(crystal.lattice, crystal.n_sites, settings.max_atoms)
    return Supercell(crystal, scaling)


def _crystal_arrays(
    supercell: Supercell, distances: np.ndarray
) -> dict[str, np.ndarray]:
    n_sites, n_atoms = distances.shape
    return {
        "n_unique_sites": np.array(n_sites, dtype=np.int32),
        "n_pairs": np.array(distances.size, dtype=np.int64),
        "n_atoms": np.array(n_atoms, dtype=np.int32),
        "lattice": supercell.crystal.lattice.astype(np.float64),
        "scaling_matrix": supercell.scaling.astype(np.int32),
    }


def _site_arrays(crystal: Crystal, distances: np.ndarray) -> dict[str, np.ndarray]:
    n_sites, n_atoms = distances.shape
    return {
        "atomic_numbers": crystal.numbers.astype(np.uint8),
        "oxidation_states": crystal.oxidation.astype(np.float32),
        "site_multiplicity": np.ones(n_sites, dtype=np.uint16),
        "frac_coords": crystal.frac.astype(np.float64),
        "pairs_per_site": np.full(n_sites, n_atoms, dtype=np.int32),
    }


def _pair_arrays(distances: np.ndarray) -> dict[str, np.ndarray]:
    """Return the pair scope; each row begins with its own self pair."""
    n_sites, n_atoms = distances.shape
    images = n_atoms // n_sites
    rows = np.arange(n_sites)
    atoms = np.tile(np.arange(n_atoms), (n_sites, 1))
    # the self pair changes places with the first atom of the row
    atoms[rows, rows * images] = 0
    atoms[:, 0] = rows * images
    ordered = np.take_along_axis(distances, atoms, axis=1)
    return {
        "pair_partner": (atoms // images).astype(np.uint16).reshape(-1),
        "pair_distance": ordered.astype(np.float32).reshape(-1),
        "pair_multiplicity": np.ones(distances.size, dtype=np.uint16),
    }
