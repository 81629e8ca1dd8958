"""Colour refinement: exact whatever the sums do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.quotients import made_up_atoms, plain_colours, real_atoms

from sitenet_core.structures import colours
from sitenet_core.structures.colours import numbered, stable_colours, upper
from sitenet_core.structures.quotient import identified


def check(seed: int) -> None:
    """Check colours and rows of a made-up crystal against the oracle."""
    atoms = made_up_atoms(np.random.default_rng(seed))
    pairs, _ = identified(atoms.distances, 1e-4)
    found, rows = stable_colours(pairs, atoms.species)
    ids = pairs.ids[pairs.blocks()].reshape(atoms.distances.shape)
    assert found.tolist() == plain_colours(ids, atoms.species)
    of_atoms = np.repeat(found, ids.shape[1] // len(ids))
    for site, colour in enumerate(found):
        expected = np.sort(of_atoms * pairs.n_ids + ids[site])
        assert rows[colour].tolist() == expected.tolist()


@given(st.integers(0, 2**32 - 1))
def test_sums_that_collide_change_nothing(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colours, "mixed", lambda k: (k % 2).astype(np.uint64))
        check(seed)
        patch.setattr(colours, "mixed", lambda k: np.zeros(len(k), np.uint64))
        check(seed)


def test_sums_of_real_crystals_need_no_exact_round() -> None:
    """Else they would be of no use; a round compares all multisets."""
    calls = []
    original = colours._rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colours, "_rows", lambda *a: calls.append(1) or original(*a))
        crystals = real_atoms(100, 10)
        for atoms in crystals:
            stable_colours(identified(atoms.distances, 1e-4)[0], atoms.species)
    assert len(calls) == len(crystals)


def test_labels_are_numbered_in_order_of_appearance() -> None:
    assert numbered(np.array([7, 2, 7, 9, 2])).tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_upper_triangle_is_by_rows(n: int) -> None:
    cells = [(i, j) for i in range(n) for j in range(n)]
    for diagonal in (True, False):
        expected = [i * n + j for i, j in cells if i < j or (diagonal and i == j)]
        assert upper(n, diagonal=diagonal).tolist() == expected
