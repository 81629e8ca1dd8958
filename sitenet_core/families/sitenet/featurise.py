"""From a crystal to the arrays of the Site-Net store.

Words: a unique site is one of the n sites of the primitive cell; a site is a row of the
store, which stands for several unique sites that the network cannot tell apart; a pair
is a site, a partner site and a distance, and stands for several atoms of the supercell.
Blocks of pairs are those of `structures.quotient`.
"""

from typing import TYPE_CHECKING

import numpy as np

from sitenet_core.data.schema import CRYSTAL, ArraySpec
from sitenet_core.errors import StructureError
from sitenet_core.families.sitenet.settings import CellSettings
from sitenet_core.structures.canonical import Supercell, canonical_supercell
from sitenet_core.structures.cell import Crystal, primitive_cell
from sitenet_core.structures.fingerprint import species_ranks
from sitenet_core.structures.primitive import invariant_primitive_cell
from sitenet_core.structures.quotient import Quotient, quotient
from sitenet_core.structures.supercell import scaling_matrix

if TYPE_CHECKING:
    from pymatgen.core import Structure

FEATURE_VERSION = 2
"""Raised whenever `featurise` returns other numbers for the same input."""

SCHEMA: tuple[ArraySpec, ...] = (
    ArraySpec("n_unique_sites", CRYSTAL, "int32", "1", "sites of the primitive cell"),
    ArraySpec("n_sites", CRYSTAL, "int32", "1", "rows of the site scope"),
    ArraySpec("n_pairs", CRYSTAL, "int64", "1", "pairs of all blocks (a, b), (b, a)"),
    ArraySpec("n_atoms", CRYSTAL, "int32", "1", "atoms of the supercell"),
    ArraySpec("lattice", CRYSTAL, "float64", "Å", "primitive lattice rows", (3, 3)),
    ArraySpec(
        "scaling_matrix", CRYSTAL, "int32", "1", "supercell = matrix · lattice", (3, 3)
    ),
    ArraySpec(
        "frac_coords", "unique_site", "float64", "1", "in the primitive lattice", (3,)
    ),
    ArraySpec("site_index", "unique_site", "uint16", "1", "site it is merged into"),
    ArraySpec("atomic_numbers", "site", "uint8", "1", "atomic number Z"),
    ArraySpec("oxidation_states", "site", "float32", "1", "0 where undecorated"),
    ArraySpec("site_multiplicity", "site", "uint16", "1", "unique sites it stands for"),
    ArraySpec("pairs_per_block", "block", "uint16", "1", "pairs of block a ≤ b"),
    ArraySpec("pair_distance", "half_pair", "float32", "Å", "minimum image, ascending"),
    ArraySpec(
        "pair_multiplicity", "half_pair", "uint16", "1", "atoms of b around one a"
    ),
)
"""Every array of one crystal, in order."""

LARGEST_N = int(np.iinfo(np.uint16).max)
"""Most unique sites that `site_index` can name."""


def featurise(
    structure: "Structure | Crystal", settings: CellSettings
) -> dict[str, np.ndarray]:
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
    distances = supercell.distances()
    merged = quotient(distances, species_ranks(crystal), settings.merge_tolerance)
    return (
        _crystal_arrays(supercell, merged, distances.shape[1])
        | _site_arrays(crystal, merged)
        | _pair_arrays(merged)
    )


def supercell_of(structure: "Structure | Crystal", settings: CellSettings) -> Supercell:
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
    supercell: Supercell, merged: Quotient, n_atoms: int
) -> dict[str, np.ndarray]:
    return {
        "n_unique_sites": np.array(len(merged.site_index), dtype=np.int32),
        "n_sites": np.array(len(merged.sizes), dtype=np.int32),
        "n_pairs": np.array(merged.n_pairs, dtype=np.int64),
        "n_atoms": np.array(n_atoms, dtype=np.int32),
        "lattice": supercell.crystal.lattice.astype(np.float64),
        "scaling_matrix": supercell.scaling.astype(np.int32),
    }


def _site_arrays(crystal: Crystal, merged: Quotient) -> dict[str, np.ndarray]:
    rows = merged.representatives
    return {
        "frac_coords": crystal.frac.astype(np.float64),
        "site_index": merged.site_index.astype(np.uint16),
        "atomic_numbers": crystal.numbers[rows].astype(np.uint8),
        "oxidation_states": crystal.oxidation[rows].astype(np.float32),
        "site_multiplicity": merged.sizes.astype(np.uint16),
    }


def _pair_arrays(merged: Quotient) -> dict[str, np.ndarray]:
    return {
        "pairs_per_block": merged.pairs_per_block.astype(np.uint16),
        "pair_distance": merged.distance.astype(np.float32),
        "pair_multiplicity": merged.multiplicity.astype(np.uint16),
    }
