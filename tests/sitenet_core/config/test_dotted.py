"""Nested and dotted forms of a configuration hold the same leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitenet_core.config import flatten, merge, unflatten

names = st.text("abc", min_size=1, max_size=3)
leaves = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers())
nested = st.dictionaries(
    names,
    st.recursive(leaves, lambda c: st.dictionaries(names, c, min_size=1, max_size=3)),
    max_size=4,
)


@given(nested)
def test_unflatten_reverses_flatten(tree: dict[str, object]) -> None:
    assert unflatten(flatten(tree)) == tree


@given(nested, nested)
def test_every_leaf_of_the_changes_wins(
    base: dict[str, object], changes: dict[str, object]
) -> None:
    merged = flatten(merge(base, changes))
    assert flatten(changes).items() <= merged.items()


def test_leaves_that_are_not_named_are_kept() -> None:
    base = {"a": {"x": 1, "y": 2}, "b": 3}
    assert merge(base, {"a": {"y": 5}}) == {"a": {"x": 1, "y": 5}, "b": 3}
    assert base == {"a": {"x": 1, "y": 2}, "b": 3}


def test_a_key_that_is_value_and_section_is_refused() -> None:
    with pytest.raises(ValueError, match="is a value, not a section"):
        unflatten({"a": 1, "a.b": 2})
    with pytest.raises(ValueError, match="is a section, not a value"):
        unflatten({"a.b": 2, "a": 1})
