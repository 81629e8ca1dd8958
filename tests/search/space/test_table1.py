"""Table 1 of the two papers, row by row; the numbers here are typed from the papers."""

import numpy as np
import pytest

from search.engine.searchers import make_searcher, next_proposal
from search.space import Space, load_space

INTEGERS = {
    "model.embedding_dim": (1, 128),
    "model.site_dim_per_head": (4, 32),
    "model.interaction_dim_per_head": (4, 32),
    "model.attention_blocks": (1, 3),
    "model.attention_heads": (1, 8),
    "model.attention_weights.depth": (0, 3),
    "model.attention_weights.width": (32, 256),
    "model.pre_pooling.depth": (1, 4),
    "model.pre_pooling.width": (32, 256),
    "model.post_pooling.depth": (1, 4),
    "model.post_pooling.width": (32, 256),
    "model.pooling_heads": (1, 8),
    "model.pooling_queries": (1, 4),
}
CHOICES = {
    "model.normalization": {"batch", "layer", "none"},
    "model.pooling": {"mean", "max", "self_attention"},
}
PAPER = {
    "model.embedding_dim": 92,
    "model.site_dim_per_head": 30,
    "model.interaction_dim_per_head": 16,
    "model.attention_blocks": 2,
    "model.attention_heads": 3,
    "model.attention_weights.depth": 1,
    "model.attention_weights.width": 225,
    "model.pre_pooling.depth": 1,
    "model.pre_pooling.width": 94,
    "model.post_pooling.depth": 3,
    "model.post_pooling.width": 200,
    "model.normalization": "layer",
    "model.pooling": "mean",
    "model.pooling_heads": None,
    "model.pooling_queries": None,
}
YEARS = ("2022", "2023")
DIGESTS = {
    "2022": "f94f118829ea02b9202bdcb4ba7af489dbe75083e6b45e8a5b0abeb5b41d050b",
    "2023": "87eb161bd207f5a6d08f0c7345ac0d3eedf646781208d41119049433a7282664",
}
"""A published space is never edited in place: copy it under a new name."""


def table(year: str) -> Space:
    return load_space(f"sitenet/table1_{year}")


@pytest.mark.parametrize("year", YEARS)
def test_a_published_space_is_never_edited_in_place(year: str) -> None:
    assert table(year).digest == DIGESTS[year]


@pytest.mark.parametrize("year", YEARS)
def test_every_row_has_its_range(year: str) -> None:
    parameters = dict(table(year).parameters)
    integers = INTEGERS | ({"batch.crystals": (8, 24)} if year == "2022" else {})
    for name, (low, high) in integers.items():
        parameter = parameters.pop(name)
        assert parameter.type == "integer"
        assert (parameter.low, parameter.high) == (low, high), name
    for name, values in CHOICES.items():
        assert set(parameters.pop(name).values) == values
    rate = parameters.pop("optimizer.learning_rate")
    assert (rate.low, rate.high, rate.log) == (5e-5, 1e-2, True)
    assert parameters == {}


def test_what_the_papers_fix_is_fixed() -> None:
    for year, max_atoms, unique_sites in (("2022", 100, None), ("2023", 500, 1200)):
        space = table(year)
        numbers = np.random.default_rng(0)
        for _ in range(20):
            config = space.configuration(space.sample(numbers))
            assert config.cell.max_atoms == max_atoms
            assert config.batch.unique_sites == unique_sites
            if year == "2023":
                assert config.batch.crystals is None


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("searcher", ["random", "hyperopt", "gaussian", "optuna"])
def test_the_first_trial_is_the_papers_configuration(year: str, searcher: str) -> None:
    space = table(year)
    proposal = next_proposal(make_searcher(searcher), space, [], trial=0, seed=123)
    expected = PAPER | ({"batch.crystals": 18} if year == "2022" else {})
    flat = dict(proposal.configuration)
    assert flat.pop("optimizer.learning_rate") == pytest.approx(8.12597e-4, rel=1e-5)
    assert flat == expected
    assert proposal.source == "known_good"
    config = space.configuration(proposal.configuration)
    assert config.model.embedding_dim == 92
    assert config.model.post_pooling.depth == 3


@pytest.mark.parametrize("year", YEARS)
def test_every_bound_is_reached_and_none_is_passed(year: str) -> None:
    space = table(year)
    numbers = np.random.default_rng(1)
    flats = [space.sample(numbers) for _ in range(6000)]
    for name, (low, high) in INTEGERS.items():
        values = {flat[name] for flat in flats} - {None}
        assert values == set(range(low, high + 1)), name
    for name, choices in CHOICES.items():
        assert {flat[name] for flat in flats} == choices
    rates = [flat["optimizer.learning_rate"] for flat in flats]
    assert 5e-5 <= min(rates) < 5.1e-5
    assert 9.9e-3 < max(rates) <= 1e-2


@pytest.mark.parametrize("year", YEARS)
def test_depth_zero_has_no_width_and_other_poolings_no_heads(year: str) -> None:
    space = table(year)
    numbers = np.random.default_rng(2)
    flats = [space.sample(numbers) for _ in range(400)]
    for flat in flats:
        depth = flat["model.attention_weights.depth"]
        assert (flat["model.attention_weights.width"] is None) == (depth == 0)
        attention = flat["model.pooling"] == "self_attention"
        assert (flat["model.pooling_heads"] is not None) == attention
        assert (flat["model.pooling_queries"] is not None) == attention
    shares = np.mean([f["model.attention_weights.depth"] == 0 for f in flats])
    assert 0.15 < shares < 0.35
    config = space.configuration(
        next(f for f in flats if f["model.attention_weights.depth"] == 0)
    )
    assert config.model.attention_weights.width is None


@pytest.mark.parametrize("year", YEARS)
def test_the_model_can_propose_both_ends_of_a_range(year: str) -> None:
    """The published search could never reach an upper bound."""
    space = table(year)
    for name, (low, high) in INTEGERS.items():
        parameter = space.parameters[name]
        assert parameter.from_raw(low - 0.5) == low
        assert parameter.from_raw(np.nextafter(high + 0.5, 0)) == high
