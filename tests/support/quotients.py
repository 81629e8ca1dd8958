"""Plain oracles of the quotient of a crystal, and crystals to try it on."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.crystals import SHARED, sample, table_structures

from sitenet_core.families.sitenet.featurise import supercell_of
from sitenet_core.families.sitenet.settings import CellSettings
from sitenet_core.structures.distances import pair_distances
from sitenet_core.structures.fingerprint import species_ranks

TOLERANCE = 1e-4
TABLES = ("mp_gap_20k", "perovskites", "carbon")


@dataclass(frozen=True)
class Atoms:
    """What a quotient is made from."""

    distances: np.ndarray
    """(n, N) Å."""
    species: np.ndarray
    """(n,) int."""


def real_atoms(max_atoms: int, count: int, seed: int = 0) -> list[Atoms]:
    """Return `count` crystals of each table of real ones, and of the prototypes."""
    structures = sample("prototypes", count, seed)
    for table in TABLES:
        path = SHARED / f"{table}.parquet"
        if Path(path).is_file():
            structures += table_structures(path, count, seed)
    found = []
    for structure in structures:
        supercell = supercell_of(structure, CellSettings(max_atoms=max_atoms))
        crystal = supercell.crystal
        found.append(
            Atoms(pair_distances(crystal, supercell.scaling), species_ranks(crystal))
        )
    return found


def made_up_atoms(rng: np.random.Generator) -> Atoms:
    """Return symmetric distances from few values, so that much can be merged.

    Sites are orbits of copies; within noise, distances depend on the orbits alone or,
    sometimes, on the site.
    """
    n, images = int(rng.integers(1, 9)), int(rng.integers(1, 7))
    levels = rng.choice([1.0, 1.5, 2.25, 4.0, 4.0 + 3e-4], rng.integers(1, 6))
    orbit = rng.integers(0, 3, n)
    table = rng.integers(0, len(levels), (3, 3, images))
    blocks = np.empty((n, n, images))
    own = np.append(0.0, levels[rng.integers(0, len(levels), images - 1)])
    for i in range(n):
        blocks[i, i] = own
        for j in range(i):
            low, high = sorted((orbit[i], orbit[j]))
            chosen = table[low, high]
            if rng.random() < 0.1:
                chosen = rng.integers(0, len(levels), images)
            values = levels[chosen] + rng.normal(0, 1e-9, images)
            blocks[i, j] = values
            blocks[j, i] = rng.permutation(values)
    species = np.unique(rng.integers(0, 2, n) * (orbit + 1), return_inverse=True)[1]
    return Atoms(blocks.reshape(n, n * images), species)


def plain_colours(ids: np.ndarray, species: np.ndarray) -> list[int]:
    """Return the coarsest stable colouring, by dictionaries and counters.

    Args:
        ids: (n, N) id of each pair; atom j is an image of site j // (N / n).
        species: (n,) int.
    """
    n, n_atoms = ids.shape
    colours = [int(s) for s in species]
    while True:
        seen: dict[tuple[int, frozenset[tuple[tuple[int, int], int]]], int] = {}
        new = []
        for i in range(n):
            around = Counter(
                (colours[j * n // n_atoms], int(ids[i, j])) for j in range(n_atoms)
            )
            key = (colours[i], frozenset(around.items()))
            new.append(seen.setdefault(key, len(seen)))
        if len(seen) == len(set(colours)):
            return new
        colours = new


def plain_pairs(
    ids: np.ndarray, colours: list[int]
) -> list[dict[tuple[int, int], int]]:
    """Return, for each site, how many atoms of each colour have each id."""
    n, n_atoms = ids.shape
    return [
        dict(
            Counter((colours[j * n // n_atoms], int(ids[i, j])) for j in range(n_atoms))
        )
        for i in range(n)
    ]
