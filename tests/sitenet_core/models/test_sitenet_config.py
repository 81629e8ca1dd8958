"""The options of Site-Net: ranges, conditions and messages."""

from typing import Any

import pytest
from pydantic import ValidationError

from sitenet_core.models.sitenet.config import (
    AttentionWeightsSection,
    BatchSection,
    FeaturesSection,
    ModelSection,
)

TABLE_1: dict[str, tuple[int, int]] = {
    "embedding_dim": (1, 128),
    "site_dim_per_head": (4, 32),
    "interaction_dim_per_head": (4, 32),
    "attention_blocks": (1, 3),
    "attention_heads": (1, 8),
}
SELF_ATTENTION = {"pooling": "self_attention"}


@pytest.mark.parametrize("key", TABLE_1)
def test_both_ends_of_table_1_are_allowed(key: str) -> None:
    for value in TABLE_1[key]:
        assert getattr(ModelSection.model_validate({key: value}), key) == value


@pytest.mark.parametrize("width", [32, 256])
@pytest.mark.parametrize("depth", [1, 4])
def test_chains_take_both_ends_of_table_1(depth: int, width: int) -> None:
    chain = {"depth": depth, "width": width}
    model = ModelSection.model_validate({"pre_pooling": chain, "post_pooling": chain})
    assert (model.pre_pooling.depth, model.post_pooling.width) == (depth, width)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0, "width": 32}, "write `width: null`"),
        ({"depth": 2, "width": None}, "needs a width"),
        ({"depth": 0}, "write `width: null`"),
        ({"depth": -1, "width": None}, "greater than or equal to 0"),
        ({"depht": 1}, "Extra inputs"),
    ],
)
def test_attention_weights_refuse_what_does_not_fit(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        AttentionWeightsSection.model_validate(values)


def test_depth_0_goes_without_a_width() -> None:
    section = AttentionWeightsSection.model_validate({"depth": 0, "width": None})
    assert section.width is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pooling_heads": 2}, "pooling_heads is only for self_attention"),
        ({"pooling": "max", "pooling_queries": 1}, "pooling_queries is only for"),
        (SELF_ATTENTION | {"pooling_heads": 2}, "needs pooling_queries"),
        (SELF_ATTENTION | {"pooling_queries": 2}, "needs pooling_heads"),
        ({"pooling": "sum"}, "'mean', 'max' or 'self_attention'"),
        ({"cutoff": 0.0}, "greater than 0"),
        ({"cutoff": float("nan")}, "finite"),
        ({"normalization": "instance"}, "'batch', 'layer' or 'none'"),
        ({"site_dim": 30}, "Extra inputs"),
    ],
)
def test_the_model_refuses_what_does_not_fit(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSection.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crystals": 18}, "write `unique_sites: null` to count crystals"),
        ({"unique_sites": None}, "both null"),
        ({"unique_sites": 0}, "greater than or equal to 1"),
        ({"size": 3}, "Extra inputs"),
    ],
)
def test_a_batch_has_exactly_one_budget(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BatchSection.model_validate(values)


def test_a_batch_of_crystals_is_allowed() -> None:
    batch = BatchSection.model_validate({"unique_sites": None, "crystals": 18})
    assert batch.crystals == 18


def test_features_are_standardised_unless_said_otherwise() -> None:
    assert FeaturesSection().scaling == "standard"
    with pytest.raises(ValidationError, match="'standard' or 'none'"):
        FeaturesSection.model_validate({"scaling": "minmax"})


def test_a_section_given_in_part_keeps_the_papers_other_values() -> None:
    model = ModelSection.model_validate(
        {"post_pooling": {"width": 64}, "attention_weights": {"width": 64}}
    )
    assert (model.post_pooling.depth, model.attention_weights.depth) == (3, 1)
    model = ModelSection.model_validate({"pre_pooling": {"depth": 2}})
    assert (model.pre_pooling.width, model.post_pooling.width) == (94, 200)
