"""The comparison of supercells: tolerance, order, and what each stage sees."""

import numpy as np
from support.crystals import needle

from sitenet_core.structures.cell import Crystal
from sitenet_core.structures.distances import SupercellMetric
from sitenet_core.structures.fingerprint import (
    Candidates,
    smallest,
    smallest_supercells,
    species_ranks,
)


def smallest_of(candidates: list[tuple[Crystal, np.ndarray]]) -> list[int]:
    """Compare supercells that are given one by one, sites in the same order."""
    metrics = [SupercellMetric.of(one.lattice, scaling) for one, scaling in candidates]
    metric = SupercellMetric(
        np.concatenate([m.cosets for m in metrics]),
        np.concatenate([m.to_supercell for m in metrics]),
        np.concatenate([m.lattice for m in metrics]),
    )
    frac = np.stack([crystal.frac for crystal, _ in candidates])
    species = species_ranks(candidates[0][0])
    scalings = [scaling for _, scaling in candidates]
    return smallest_supercells(Candidates(species, frac, metric), scalings).tied


def test_the_first_column_outside_the_tolerance_decides() -> None:
    values = np.array([[1.0, 5.0, 0.0], [1.0 + 1e-9, 4.0, 9.0], [2.0, 0.0, 0.0]])
    assert smallest(values, 1e-6).tolist() == [1]
    assert smallest(values, 0.0).tolist() == [0]


def test_rows_equal_within_the_tolerance_all_stay() -> None:
    values = np.array([[1.0, 2.0], [1.0, 2.0 + 1e-9], [1.0, 3.0]])
    assert smallest(values, 1e-6).tolist() == [0, 1]


def test_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (12, 6)) + 1e-9 * rng.random((12, 6))
    kept = {tuple(np.rint(values[k])) for k in smallest(values, 1e-6)}
    for _ in range(10):
        order = rng.permutation(12)
        again = {
            tuple(np.rint(values[order][k])) for k in smallest(values[order], 1e-6)
        }
        assert again == kept


def test_the_supercell_with_the_shorter_translation_wins() -> None:
    crystal = needle(aspect=2)
    short, long = (crystal, np.diag([2, 1, 1])), (crystal, np.diag([1, 1, 2]))
    assert smallest_of([short, long]) == [0]
    assert smallest_of([long, short]) == [1]


def test_atoms_decide_where_the_lattice_ties() -> None:
    # F sits near the face across a, so that doubling b or c brings both images close
    frac = np.array([[0.0, 0, 0], [0.1, 0.5, 0.5]])
    crystal = Crystal(4.0 * np.eye(3), frac, np.array([3, 9]), np.zeros(2))
    candidates = [(crystal, np.diag(d)) for d in ([2, 1, 1], [1, 2, 1], [1, 1, 2])]
    assert smallest_of(candidates) == [1, 2]


def chain(places: list[int]) -> tuple[Crystal, np.ndarray]:
    """Return carbon atoms at `places` on a ring of eight places, 1 Å apart."""
    frac = np.zeros((len(places), 3))
    frac[:, 0] = np.array(places) / 8
    lattice = np.diag([8.0, 20.0, 20.0])
    numbers = np.full(len(places), 6)
    return Crystal(lattice, frac, numbers, np.zeros(len(places))), np.eye(3, dtype=int)


def test_colours_tell_apart_what_no_list_of_distances_can() -> None:
    # a homometric pair: the same six distances, shared out differently among the sites
    first, second = chain([0, 1, 3, 4]), chain([0, 1, 2, 5])
    forward = smallest_of([first, second])
    backward = smallest_of([second, first])
    assert len(forward) == len(backward) == 1
    assert forward[0] != backward[0]


def test_equal_crystals_are_not_told_apart() -> None:
    first, moved = chain([0, 1, 3, 4]), chain([2, 3, 5, 6])
    assert smallest_of([first, moved]) == [0, 1]


def test_species_are_ranked_by_element_then_oxidation_state() -> None:
    oxidation = np.array([0.0, 3.0, 2.0, 3.0])
    frac = np.zeros((4, 3))
    crystal = Crystal(np.eye(3), frac, np.array([26, 26, 26, 8]), oxidation)
    assert species_ranks(crystal).tolist() == [1, 3, 2, 0]
