"""The quotient of a crystal: what is merged, what never is, and that counts add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.quotients import (
    TOLERANCE,
    Atoms,
    made_up_atoms,
    plain_colours,
    plain_pairs,
    real_atoms,
)
from support.sitenet_records import triangle

from sitenet_core.structures.quotient import Quotient, identified, quotient

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def real() -> list[Atoms]:
    """Return real crystals of up to 100 atoms, and larger ones of up to 500."""
    return real_atoms(100, 12) + real_atoms(500, 3, seed=1)


def made(atoms: Atoms, tolerance: float | None = TOLERANCE) -> Quotient:
    """Return the quotient of `atoms`."""
    return quotient(atoms.distances, atoms.species, tolerance)


def all_ids(atoms: Atoms, tolerance: float = TOLERANCE) -> np.ndarray:
    """Return (n, N), the ids of all pairs."""
    pairs, _ = identified(atoms.distances, tolerance)
    return pairs.ids[pairs.blocks()].reshape(atoms.distances.shape)


def blocks(found: Quotient) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """Return distances and counts of every block (a, b), also where a > b."""
    ends = np.cumsum(found.pairs_per_block)[:-1]
    distances = np.split(found.distance, ends)
    counts = np.split(found.multiplicity, ends)
    size = found.sizes
    result = {}
    for k, (a, b) in enumerate(triangle(len(size))):
        mirrored = counts[k] * size[a]
        assert (mirrored % size[b] == 0).all()
        result[b, a] = (distances[k], mirrored // size[b])
        result[a, b] = (distances[k], counts[k])
    return result


def check_counts(atoms: Atoms) -> None:
    """Check that sites and pairs are all there, and that only equals are merged."""
    n, n_atoms = atoms.distances.shape
    found = made(atoms)
    assert found.sizes.sum() == n
    assert np.bincount(found.site_index).tolist() == found.sizes.tolist()
    assert found.site_index[found.representatives].tolist() == list(
        range(len(found.sizes))
    )
    species = atoms.species[found.representatives]
    assert (atoms.species == species[found.site_index]).all()
    total, n_pairs = 0, 0
    for (a, b), (distance, count) in blocks(found).items():
        assert (count >= 1).all()
        assert (np.diff(distance) > 0).all()
        assert (distance == 0).sum() == (a == b)
        assert count.sum() == found.sizes[b] * (n_atoms // n)
        total += found.sizes[a] * count.sum()
        n_pairs += len(count)
    assert total == n * n_atoms
    assert found.n_pairs == n_pairs


def check_distances(atoms: Atoms, tolerance: float) -> None:
    """Check every distance against the merged one that stands for it, site by site."""
    n, n_atoms = atoms.distances.shape
    found = made(atoms, tolerance)
    colour = np.repeat(found.site_index, n_atoms // n)
    merged = blocks(found)
    for i, own in enumerate(found.site_index):
        for other in range(len(found.sizes)):
            distance, count = merged[own, other]
            real = np.sort(atoms.distances[i, colour == other])
            stands_for = np.repeat(distance, count)
            assert np.abs(real - stands_for).max() <= tolerance


def check_oracle(atoms: Atoms) -> None:
    """Check colours and pairs against the plain oracle on the same ids."""
    ids = all_ids(atoms)
    found = made(atoms)
    expected = plain_colours(ids, atoms.species)
    assert found.site_index.tolist() == expected
    _, values = identified(atoms.distances, TOLERANCE)
    around = plain_pairs(ids, expected)
    merged = blocks(found)
    for i, own in enumerate(expected):
        pairs = {
            (other, float(d)): int(c)
            for other in range(len(found.sizes))
            for d, c in zip(*merged[own, other], strict=True)
        }
        assert pairs == {(b, float(values[k])): c for (b, k), c in around[i].items()}


def check_order(atoms: Atoms, rng: np.random.Generator) -> None:
    """Check that the order of sites and of images changes nothing but the order."""
    n, n_atoms = atoms.distances.shape
    order = rng.permutation(n)
    cube = atoms.distances.reshape(n, n, -1)[order][:, order]
    other = made(Atoms(cube.reshape(n, n_atoms), atoms.species[order]))
    one = made(atoms)
    joint = np.column_stack([one.site_index[order], other.site_index])
    assert len(np.unique(joint, axis=0)) == len(one.sizes) == len(other.sizes)
    renamed = dict(joint[:, ::-1].tolist())
    expected, found = blocks(one), blocks(other)
    for (a, b), (distance, count) in found.items():
        same = expected[renamed[a], renamed[b]]
        np.testing.assert_allclose(distance, same[0], rtol=1e-12)
        assert count.tolist() == same[1].tolist()


@given(SEEDS)
def test_multiplicities_add_up_to_all_sites_and_pairs(seed: int) -> None:
    check_counts(made_up_atoms(np.random.default_rng(seed)))


@given(SEEDS, st.sampled_from([1e-6, 1e-4, 1e-3, 0.1]))
def test_no_distance_moves_by_more_than_the_tolerance(
    seed: int, tolerance: float
) -> None:
    check_distances(made_up_atoms(np.random.default_rng(seed)), tolerance)


@given(SEEDS)
def test_colours_and_pairs_are_those_of_the_plain_oracle(seed: int) -> None:
    check_oracle(made_up_atoms(np.random.default_rng(seed)))


@given(SEEDS)
def test_the_order_of_sites_is_of_no_consequence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    check_order(made_up_atoms(rng), rng)


def test_made_up_crystals_are_merged_in_part() -> None:
    """The checks above see merged and unmerged sites, alone and together."""
    ratios = []
    for seed in range(60):
        atoms = made_up_atoms(np.random.default_rng(seed))
        ratios.append(len(made(atoms).sizes) / len(atoms.species))
    assert sum(r == 1 for r in ratios) > 5
    assert sum(r < 1 for r in ratios) > 20
    assert len(set(ratios)) > 8


def test_real_crystals_keep_all_that_made_up_ones_keep(real: list[Atoms]) -> None:
    rng = np.random.default_rng(0)
    for atoms in real:
        check_counts(atoms)
        check_distances(atoms, TOLERANCE)
        check_order(atoms, rng)


def test_real_crystals_are_coloured_as_the_plain_oracle_does(
    real: list[Atoms],
) -> None:
    for atoms in real:
        if atoms.distances.size <= 5000:
            check_oracle(atoms)


def test_real_crystals_shrink(real: list[Atoms]) -> None:
    pairs = sum(atoms.distances.size for atoms in real)
    assert pairs > 1.8 * sum(made(atoms).n_pairs for atoms in real)


def test_distances_that_no_symmetry_relates_are_not_merged_across_sites() -> None:
    """Two sites of one element are one only if all around them is equal."""
    chain = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    same, first = np.zeros(3, dtype=int), np.array([1, 0, 0])
    assert made(Atoms(chain, same)).site_index.tolist() == [0, 1, 0]
    assert made(Atoms(chain, first)).site_index.tolist() == [0, 1, 2]
    ring = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    found = made(Atoms(ring, same))
    assert found.site_index.tolist() == [0, 0, 0]
    assert found.distance.tolist() == [0.0, 1.0]
    assert found.multiplicity.tolist() == [1, 2]


def test_a_merged_distance_is_the_mean_of_all_its_pairs() -> None:
    off = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.00003], [1.0, 1.00003, 0.0]])
    found = made(Atoms(off, np.zeros(3, dtype=int)))
    assert found.distance.tolist() == [0.0, pytest.approx(1.00001, abs=1e-12)]
    # three sites, each with itself once more and twice with each of the two others
    blocks = np.full((3, 3, 2), 1.00003)
    blocks[range(3), range(3)] = [0.0, 1.0]
    found = made(Atoms(blocks.reshape(3, 6), np.zeros(3, dtype=int)))
    assert found.multiplicity.tolist() == [1, 5]
    assert found.distance.tolist() == [0.0, pytest.approx(1.000024, abs=1e-12)]


def test_without_a_tolerance_nothing_is_merged(real: list[Atoms]) -> None:
    for atoms in real:
        n, n_atoms = atoms.distances.shape
        found = made(atoms, None)
        assert found.site_index.tolist() == list(range(n))
        assert found.sizes.tolist() == [1] * n
        assert (found.multiplicity == 1).all()
        assert found.n_pairs == n * n_atoms
        for (a, b), (distance, _) in blocks(found).items():
            expected = atoms.distances.reshape(n, n, -1)[a, b]
            np.testing.assert_allclose(distance, np.sort(expected), atol=1e-12)


def test_one_site_and_one_atom_are_taken() -> None:
    atom = made(Atoms(np.zeros((1, 1)), np.zeros(1, dtype=int)))
    assert (atom.distance.tolist(), atom.multiplicity.tolist()) == ([0.0], [1])
    row = np.array([[0.0, 3.0, 3.0, 5.0]])
    found = made(Atoms(row, np.zeros(1, dtype=int)))
    assert found.distance.tolist() == [0.0, 3.0, 5.0]
    assert found.multiplicity.tolist() == [1, 2, 1]
