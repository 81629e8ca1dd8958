"""The comparisons of the benchmark of searches, against numbers known otherwise."""

import numpy as np
import pytest

from experiments.benchmarks.search_quality.comparison import (
    Block,
    compare,
    holm,
    mean_interval,
    relative_interval,
    signed_rank,
)

TASKS = ("a", "b", "c")


def blocks(shift: float = 0.0, *, seeds: int = 12) -> dict[Block, float]:
    generator = np.random.default_rng(3)
    return {
        (task, seed): 0.3 * index + 0.1 * float(generator.random()) + shift
        for index, task in enumerate(TASKS, start=1)
        for seed in range(seeds)
    }


def test_holm_multiplies_step_by_step_and_never_decreases() -> None:
    # Holm 1979 by hand: 0.01·3, then max with 0.02·2, then max with 0.03·1.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_signed_rank_test_of_six_equal_signs_is_two_in_64() -> None:
    assert signed_rank([-1, -2, -3, -4, -5, -6]) == pytest.approx(2 / 64)
    assert signed_rank([0.0, 0.0]) == 1.0


def test_a_search_that_is_better_everywhere_wins_every_task() -> None:
    found = compare(blocks(), blocks(0.05))
    assert found is not None
    assert found.difference.value == pytest.approx(-0.05)
    assert str(found.tasks) == "3/0/0"
    assert str(found.blocks) == "36/0/0"
    assert found.p_blocks < 1e-6


def test_equal_searches_tie_and_nothing_shared_is_no_comparison() -> None:
    found = compare(blocks(), blocks())
    assert found is not None
    assert (str(found.tasks), found.p_blocks) == ("0/3/0", 1.0)
    assert compare(blocks(), {("z", 0): 1.0}) is None


def test_only_shared_blocks_are_compared() -> None:
    found = compare(blocks(seeds=12), blocks(0.05, seeds=4))
    assert found is not None
    assert found.n_blocks == 12


def test_the_mean_weighs_tasks_alike_however_many_seeds_they_have() -> None:
    uneven = {("a", 0): 0.0, ("a", 1): 0.0, ("a", 2): 0.0, ("b", 0): 1.0}
    assert mean_interval(uneven).value == pytest.approx(0.5)


def test_one_seed_has_no_interval() -> None:
    interval = mean_interval({("a", 0): 0.1, ("b", 0): 0.3})
    assert interval.value == pytest.approx(0.2)
    assert not interval.is_known
    assert mean_interval(blocks()).is_known


def test_a_relative_loss_has_its_value_within_its_interval() -> None:
    base = blocks()
    slower = {block: 1.2 * value for block, value in base.items()}
    loss = relative_interval(slower, base)
    assert loss.value == pytest.approx(0.2)
    assert loss.low == pytest.approx(0.2)
    noisy = relative_interval(blocks(0.1), base)
    assert noisy.low < noisy.value < noisy.high
