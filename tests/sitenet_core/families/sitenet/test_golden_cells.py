"""Cells, rows and features against the published code, with `reduction: none`.

tests/golden/sitenet_cells.json holds numbers of the authors' released implementation
(2023), run with the pymatgen and matminer versions that the file names.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from support.crystals import log_coulomb

from sitenet_core.families.sitenet.featurise import supercell_of
from sitenet_core.families.sitenet.settings import CellSettings
from sitenet_core.features.elements import element_table
from sitenet_core.structures.canonical import Supercell
from sitenet_core.structures.distances import pair_distances

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "sitenet_cells.json"
CRYSTALS: dict[str, Any] = json.loads(GOLDEN.read_text())["crystals"]
CASES = [
    (name, int(key.removeprefix("limit_")))
    for name, crystal in CRYSTALS.items()
    for key in crystal
    if key.startswith("limit_")
]
ROUNDING_TIES = {
    ("NaCl_conventional", 4),
    ("NaCl_conventional", 50),
    ("Si_conventional", 4),
    ("Si_conventional", 50),
    ("Li2O_conventional", 4),
    ("Li2O_conventional", 100),
    ("Li2O_conventional", 500),
}
"""Cases whose matrix has entries ±k/2, which the published code rounds by chance."""
TOLERANCE = 1e-6


def published(name: str, limit: int) -> tuple[dict[str, Any], Supercell, np.ndarray]:
    """Return the golden entry, our supercell and our distances of one case."""
    given = CRYSTALS[name]["input"]
    structure = Structure(
        Lattice(given["lattice"]), given["species"], given["frac_coords"]
    )
    settings = CellSettings(max_atoms=limit, primitive_tolerance=0.5, reduction="none")
    supercell = supercell_of(structure, settings)
    distances = pair_distances(supercell.crystal, supercell.scaling)
    return CRYSTALS[name][f"limit_{limit}"], supercell, distances


def test_the_golden_file_has_seven_crystals_at_four_limits() -> None:
    assert len(CASES) == 28
    assert set(CASES) > ROUNDING_TIES


@pytest.mark.parametrize("name", CRYSTALS)
def test_primitive_cell_is_the_published_one(name: str) -> None:
    expected = CRYSTALS[name]["primitive"]
    _, supercell, _ = published(name, 4)
    crystal = supercell.crystal
    np.testing.assert_allclose(crystal.lattice, expected["lattice"], atol=TOLERANCE)
    apart = crystal.frac - np.array(expected["frac_coords"])
    np.testing.assert_allclose(apart - np.rint(apart), 0, atol=TOLERANCE)
    symbols = Structure(crystal.lattice, crystal.numbers, crystal.frac).species
    assert [str(one) for one in symbols] == expected["species"]


@pytest.mark.parametrize(("name", "limit"), CASES)
def test_counts_and_scaling_matrix_are_the_published_ones(
    name: str, limit: int
) -> None:
    expected, supercell, distances = published(name, limit)
    assert supercell.crystal.n_sites == expected["prim_size"]
    assert distances.shape == (expected["prim_size"], expected["natoms"])
    images = abs(round(np.linalg.det(supercell.scaling)))
    assert images == expected["images"]
    if (name, limit) not in ROUNDING_TIES:
        assert supercell.scaling.tolist() == expected["scaling_matrix"]
        lattice = supercell.scaling @ supercell.crystal.lattice
        np.testing.assert_allclose(lattice, expected["lattice"], atol=TOLERANCE)


@pytest.mark.parametrize(("name", "limit"), CASES)
def test_distances_are_the_published_ones(name: str, limit: int) -> None:
    expected, _, distances = published(name, limit)
    sums = expected["all_rows_distance_sum"]
    np.testing.assert_allclose(distances.sum(axis=1), sums, atol=TOLERANCE)
    if "distance_row_sorted" in expected:
        row = np.sort(distances[expected["site_checked"]])
        np.testing.assert_allclose(row, expected["distance_row_sorted"], atol=TOLERANCE)
    else:
        apart = distances[distances > 0]
        assert distances.max() == pytest.approx(expected["max_distance"], abs=1e-6)
        assert apart.min() == pytest.approx(expected["min_nonself_distance"], abs=1e-6)


@pytest.mark.parametrize(("name", "limit"), [c for c in CASES if c[1] < 500])
def test_log_coulomb_rows_are_the_published_ones(name: str, limit: int) -> None:
    expected, supercell, distances = published(name, limit)
    numbers = supercell.crystal.numbers
    partners = np.repeat(numbers, distances.shape[1] // len(numbers))
    rows = np.stack(
        [
            log_coulomb(int(z), partners, row)
            for z, row in zip(numbers, distances, strict=True)
        ]
    )
    sums = expected["all_rows_log_coulomb_sum"]
    np.testing.assert_allclose(rows.sum(axis=1), sums, atol=TOLERANCE)
    site = expected["site_checked"]
    assert rows[site, site * (rows.shape[1] // len(numbers))] == pytest.approx(
        expected["diagonal_log_coulomb"], abs=TOLERANCE
    )
    # among equal distances the order of partners is open: compare pairs of both
    ours = np.column_stack([distances[site], rows[site]]).round(5)
    theirs = np.column_stack(
        [expected["distance_row_sorted"], expected["log_coulomb_row_same_order"]]
    ).round(5)
    np.testing.assert_allclose(
        ours[np.lexsort(ours.T[::-1])], theirs[np.lexsort(theirs.T[::-1])], atol=2e-5
    )
    np.testing.assert_allclose(
        np.sort(rows[site]),
        np.sort(expected["log_coulomb_row_same_order"]),
        atol=TOLERANCE,
    )


@pytest.mark.parametrize("name", CRYSTALS)
def test_elemental_features_are_the_published_ones(name: str) -> None:
    expected, supercell, _ = published(name, 50)
    features = element_table()[supercell.crystal.numbers]
    np.testing.assert_allclose(
        features, expected["site_features_8"], rtol=TOLERANCE, atol=TOLERANCE
    )
