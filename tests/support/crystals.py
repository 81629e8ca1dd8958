"""Real crystals for tests, and plain oracles of what is computed from them."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.optimize import linear_sum_assignment

from sitenet_core.structures.cell import Crystal

PROTOTYPES = "prototypes"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
BOHR_PER_ANGSTROM = 1.8897543773133647
"""The value of the published code (SITENET.md 1.4)."""


def table_structures(path: Path, count: int, seed: int = 0) -> list[Structure]:
    """Return `count` random structures of a Parquet table (format: data/README.md)."""
    from pyarrow import parquet

    table = parquet.read_table(path, columns=["cell", "numbers", "frac_e8"])
    chosen = np.random.default_rng(seed).permutation(len(table))[:count]
    return [
        Structure(
            Lattice.from_parameters(*row["cell"]),
            row["numbers"],
            np.array(row["frac_e8"]).reshape(-1, 3) / 1e8,
        )
        for row in table.take(chosen).to_pylist()
    ]


@cache
def prototype_structures() -> tuple[Structure, ...]:
    """Return pymatgen's AFLOW prototypes: real crystals that need no download."""
    with warnings.catch_warnings():
        # pymatgen parses the prototypes' references with a deprecated grammar
        warnings.simplefilter("ignore")
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
    return tuple(entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY)


def sample(source: str, count: int, seed: int = 0) -> list[Structure]:
    """Return structures of table `source` of ../shared/data, else of the prototypes.

    Source `PROTOTYPES` is the latter. Cells of more than 100 sites are left out.
    """
    path = SHARED / f"{source}.parquet"
    if source != PROTOTYPES and path.is_file():
        found = table_structures(path, 2 * count, seed)
    else:
        library = prototype_structures()
        order = np.random.default_rng(seed).permutation(len(library))
        found = [library[int(k)] for k in order]
    return [one for one in found if len(one) <= 100][:count]


def needle(aspect: float = 50.0) -> Crystal:
    """Return a three-site triclinic crystal `aspect` times longer than wide."""
    lattice = np.array([[3.0, 0, 0], [0.4, 3.1, 0], [1.1, 0.7, 3.0 * aspect]])
    frac = np.array([[0.0, 0, 0], [0.3, 0.6, 0.02], [0.8, 0.1, 0.5]])
    return Crystal(lattice, frac, np.array([11, 17, 8]), np.zeros(3))


def species_rows(crystal: Crystal, distances: np.ndarray) -> list[np.ndarray]:
    """Return each site's distances, sorted within each species of the partner.

    The first entry of a row is the site's own rank among the species.
    """
    labels = np.column_stack([crystal.numbers, crystal.oxidation])
    species = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    partner = np.repeat(species, distances.shape[1] // len(species))
    kinds = range(species.max() + 1)
    return [
        np.concatenate([[own], *(np.sort(row[partner == kind]) for kind in kinds)])
        for own, row in zip(species, distances, strict=True)
    ]


def rows_difference(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Return the largest difference, Å, of two crystals' rows, best rows paired.

    Infinite if the sizes differ; rows of different species never pair.
    """
    if len(first) != len(second) or first[0].shape != second[0].shape:
        return float("inf")
    a, b = np.stack(first), np.stack(second)
    cost = np.abs(a[:, None, :] - b[None, :, :]).max(axis=2)
    cost[a[:, None, 0] != b[None, :, 0]] = 1e6
    # the root makes one large difference dearer than none and several small ones
    rows, columns = linear_sum_assignment(cost**0.25)
    return float(cost[rows, columns].max())


def log_coulomb(
    z_first: int, z_second: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """Return the log-Coulomb feature of one row, distance 0 meaning the site itself."""
    own = distances == 0
    separation = np.where(own, 1.0, distances) * BOHR_PER_ANGSTROM
    energy = np.where(own, 0.5 * z_first**2.4, z_first * z_second / separation)
    return np.clip(np.log(energy + 1e-8), -10, 10)
