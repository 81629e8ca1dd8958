"""From a crystal to the arrays of the Site-Net store.

Convention: the supercell has n·m atoms, m images of each of the n unique sites, and
atom j is an image of unique site floor(j / m). Row i holds the pairs of unique site i
with every atom of the supercell, its own self pair (distance 0) first.
"""

from sitenet_core.data.schema import CRYSTAL, ArraySpec

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
