"""Small structure files written by hand, for tests of reading."""

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure

ROCK_SALT_ROWS = ("Na1 0 0 0", "Cl1 0.5 0.5 0.5")


def cif(
    rows: Sequence[str] = ROCK_SALT_ROWS,
    *,
    columns: Sequence[str] = (),
    group: str = "P 1",
    name: str = "NaCl",
    extra: str = "",
) -> str:
    """Return a CIF: label, `columns`, x, y, z in every row of `rows`."""
    head = [f"data_{name}"]
    head += [f"_cell_length_{axis} 5.64" for axis in "abc"]
    head += [f"_cell_angle_{angle} 90" for angle in ("alpha", "beta", "gamma")]
    head += [f"_symmetry_space_group_name_H-M '{group}'", "loop_", "_atom_site_label"]
    head += [f"_atom_site_{column}" for column in columns]
    head += [f"_atom_site_fract_{axis}" for axis in "xyz"]
    return "\n".join([*head, *rows, extra, ""])


POSCAR = """rock salt
1.0
3 0 0
0 3 0
0 0 3
Na Cl
1 1
Direct
0 0 0
0.5 0.5 0.5
"""


def rock_salt(cation: str = "Na", anion: str = "Cl", a: float = 5.64) -> Structure:
    """Return the conventional cell of rock salt, 8 sites; `a` in Å."""
    corners = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    centres = [[0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return Structure(Lattice.cubic(a), [cation] * 4 + [anion] * 4, [*corners, *centres])


def perovskite(a_site: str, b_site: str, x_site: str, a: float = 3.9) -> Structure:
    """Return a cubic perovskite, 5 sites; `a` in Å."""
    half = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(
        Lattice.cubic(a),
        [a_site, b_site, *[x_site] * 3],
        [[0, 0, 0], [0.5, 0.5, 0.5], *half],
    )


def disguised(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the same crystal in another basis, cell, origin and order of sites."""
    basis = np.eye(3, dtype=int)
    for _ in range(3):
        i, j = rng.choice(3, 2, replace=False)
        basis[i] += rng.integers(-1, 2) * basis[j]
    other = structure.make_supercell(basis, in_place=False)
    other = other.make_supercell([1, 1, 2], in_place=False)
    other.translate_sites(range(len(other)), rng.random(3))
    return Structure.from_sites([other[i] for i in rng.permutation(len(other))])
