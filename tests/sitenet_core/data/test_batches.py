"""Batches partition the order and keep to the budget."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitenet_core.data import epoch_order, plan_batches
from sitenet_core.data.batches import plan_groups

SIZES = st.lists(st.integers(1, 50), max_size=60)


@given(SIZES, st.integers(1, 120), st.integers(0, 5))
def test_every_crystal_is_in_one_batch_in_the_order_given(
    sizes: list[int], budget: int, seed: int
) -> None:
    order = epoch_order(len(sizes), seed, 0)
    batches = plan_batches(np.array(sizes, dtype=np.int64), budget, order=order)
    assert [i for batch in batches for i in batch.tolist()] == order.tolist()
    assert all(len(batch) for batch in batches)


@given(SIZES, st.integers(1, 120))
def test_a_batch_keeps_to_the_budget_or_is_one_crystal(
    sizes: list[int], budget: int
) -> None:
    array = np.array(sizes, dtype=np.int64)
    for batch in plan_batches(array, budget, order=np.arange(len(sizes))):
        assert array[batch].sum() <= budget or len(batch) == 1


@given(SIZES, st.integers(1, 120))
def test_the_next_crystal_would_not_have_fitted(sizes: list[int], budget: int) -> None:
    array = np.array(sizes, dtype=np.int64)
    batches = plan_batches(array, budget, order=np.arange(len(sizes)))
    for batch, following in pairwise(batches):
        assert array[batch].sum() + array[following[0]] > budget


def test_sizes_of_one_make_batches_of_so_many_crystals() -> None:
    batches = plan_batches(np.ones(10, dtype=int), 4, order=np.arange(10))
    assert [len(batch) for batch in batches] == [4, 4, 2]


def test_a_crystal_over_the_budget_is_alone() -> None:
    batches = plan_batches(np.array([1, 1300, 1]), 1200, order=np.arange(3))
    assert [batch.tolist() for batch in batches] == [[0], [1], [2]]


def test_a_budget_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="budget=0"):
        plan_batches(np.array([1]), 0, order=np.arange(1))


@given(st.integers(0, 200), st.integers(0, 2**32), st.integers(0, 1000))
def test_an_order_is_a_permutation_that_its_arguments_decide(
    n: int, seed: int, epoch: int
) -> None:
    order = epoch_order(n, seed, epoch)
    assert sorted(order.tolist()) == list(range(n))
    np.testing.assert_array_equal(order, epoch_order(n, seed, epoch))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9


@given(SIZES, st.integers(1, 120), st.integers(0, 5))
def test_groups_share_out_a_batch_with_equal_sizes_together(
    sizes: list[int], budget: int, seed: int
) -> None:
    array = np.array(sizes, dtype=np.int64)
    positions = epoch_order(len(sizes), seed, 0)[: len(sizes) // 2]
    groups = plan_groups(array, budget, positions)
    together = np.concatenate([np.empty(0, int), *groups])
    assert sorted(together.tolist()) == sorted(positions.tolist())
    assert array[together].tolist() == sorted(array[positions].tolist())
    assert all(array[g].sum() <= budget or len(g) == 1 for g in groups)


def test_without_a_budget_a_batch_is_one_group_as_it_is() -> None:
    positions = np.array([2, 0, 3])
    (group,) = plan_groups(np.array([5, 1, 9, 2]), None, positions)
    assert group.tolist() == [2, 0, 3]
