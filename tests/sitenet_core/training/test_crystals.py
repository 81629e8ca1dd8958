"""Plans from what is kept of the crystals equal those that are made anew."""

from typing import Any

import numpy as np
import pytest
from support.plain_memory import plain_plan

from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training.crystals import Crystals
from sitenet_core.training.sizing import MemoryModel, plan_memory


def some_sizes(n: int) -> dict[str, np.ndarray]:
    """Return sizes as different as those of real cells, a few of them equal."""
    rng = np.random.default_rng(n)
    sites = rng.lognormal(np.log(8), 0.9, n).astype(np.int64) + 1
    pairs = sites * rng.integers(4, 300, n)
    return {"n_unique_sites": sites + n % 3, "n_sites": sites, "n_pairs": pairs}


def some_model(rng: np.random.Generator) -> dict[str, Any]:
    depth = int(rng.integers(0, 3))
    return {
        "site_dim_per_head": int(rng.integers(4, 33)),
        "interaction_dim_per_head": int(rng.integers(4, 33)),
        "attention_blocks": int(rng.integers(1, 4)),
        "attention_heads": int(rng.integers(1, 9)),
        "attention_weights": {
            "depth": depth,
            "width": int(rng.integers(32, 257)) if depth else None,
        },
        "normalization": str(rng.choice(["layer", "batch", "none"])),
    }


def some_config(rng: np.random.Generator) -> SiteNetConfig:
    by_sites = {"unique_sites": int(rng.integers(20, 1500)), "crystals": None}
    by_count = {"unique_sites": None, "crystals": int(rng.integers(1, 30))}
    changes = {
        "model": some_model(rng),
        "batch": by_sites if rng.random() < 0.5 else by_count,
        "training": {"seed": int(rng.integers(0, 3))},
    }
    return SiteNetConfig.from_preset("paper", changes)


def some_machine(rng: np.random.Generator) -> MemoryModel:
    return MemoryModel(
        device="gpu" if rng.random() < 0.3 else "cpu",
        threads=int(rng.integers(1, 5)),
        per_kept=float(rng.uniform(0.5, 4)),
        besides=float(rng.uniform(0, 1e8)),
        process_bytes=int(rng.integers(10**8, 10**9)),
        groups_counted=bool(rng.random() < 0.3),
    )


@pytest.mark.parametrize("n", [1, 2, 40, 900])
def test_a_plan_is_that_of_the_plain_way_to_the_last_bit(n: int) -> None:
    rng = np.random.default_rng(n)
    sizes = some_sizes(n)
    crystals = Crystals(sizes)
    for _ in range(25):
        config, machine = some_config(rng), some_machine(rng)
        room = int(10 ** rng.uniform(8.7, 9.7))
        most = int(10 ** rng.uniform(0, 5)) if rng.random() < 0.4 else None
        plan = plan_memory(config, crystals, machine, room, most)
        assert plan == plain_plan(config, sizes, machine, room, most)


ALONE, JOINED, COUNTED = (
    MemoryModel("cpu", threads, 1.0, 0.0, 0, groups_counted=counted)
    for threads, counted in ((1, False), (2, False), (2, True))
)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("machine", [ALONE, JOINED, COUNTED])
@pytest.mark.parametrize("pairs", [[4, 1, 5, 5, 9, 2, 6, 3], [1, 1, 1, 1]])
def test_groups_that_are_full_to_the_last_pair_are_those_of_the_plain_way(
    pairs: list[int], machine: MemoryModel, norm: str
) -> None:
    sizes = {name: np.array(pairs) for name in some_sizes(1)}
    batch = {"unique_sites": None, "crystals": 5}
    changes = {"batch": batch, "model": {"normalization": norm}}
    config = SiteNetConfig.from_preset("test", changes)
    crystals = Crystals(sizes)
    for most in range(1, 40):
        plan = plan_memory(config, crystals, machine, None, most)
        assert plan == plain_plan(config, sizes, machine, None, most)


def test_crystals_that_are_less_than_the_smallest_group_have_a_plan_too() -> None:
    # All of them together are below the least budget, and even that does not fit.
    crystals = Crystals({name: np.array([3]) for name in some_sizes(1)})
    guess = MemoryModel.guessed("cpu", 1)
    plan = plan_memory(SiteNetConfig.from_preset("paper"), crystals, guess, 10**6)
    assert (plan.smallest, plan.fits, plan.micro_batch) == (True, False, 512)
