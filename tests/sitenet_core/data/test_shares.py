"""Shares of the training crystals: nested, and nothing else changes."""

import math

import pytest

from sitenet_core.config.data import SplitConfig
from sitenet_core.data import Split, training_share


def split(n: int) -> Split:
    return Split(
        column="gap",
        config=SplitConfig(kind="random"),
        cell_limit=100,
        store_digest="d",
        train=tuple(f"t{k:04d}" for k in range(n)),
        validation=("v1", "v2"),
        test=("x1",),
    )


@pytest.mark.parametrize("n", [1, 10, 97])
def test_a_larger_share_holds_every_smaller_one(n: int) -> None:
    whole = split(n)
    smaller: set[str] = set()
    for share in (0.1, 0.3, 0.7, 1.0):
        part = training_share(whole, share, seed=3)
        assert smaller <= set(part.train) <= set(whole.train)
        assert len(part.train) == math.ceil(round(share * n, 9))
        assert part.train == tuple(sorted(part.train))
        assert (part.validation, part.test) == (whole.validation, whole.test)
        smaller = set(part.train)
    assert training_share(whole, 1.0, seed=3) is whole


def test_a_share_is_the_same_every_time_and_another_with_another_seed() -> None:
    whole = split(100)
    assert training_share(whole, 0.2, 1) == training_share(whole, 0.2, 1)
    assert training_share(whole, 0.2, 1).train != training_share(whole, 0.2, 2).train
    assert training_share(whole, 0.2, 1).digest != whole.digest
