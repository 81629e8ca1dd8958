"""Parameters of runs, which MLflow holds as text."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.space.values import Value
from search.tracking.logged_text import logged_configuration, logged_value
from search.tracking.views import parameters

numbers = st.integers(-(2**53), 2**53) | st.floats(
    allow_nan=False, allow_infinity=False
)


@given(numbers | st.booleans())
def test_what_was_logged_comes_back(value: Value) -> None:
    assert logged_value(parameters({"a": value})["a"]) == value
    assert logged_value(str(value)) == value
    assert type(logged_value(json.dumps(value))) is type(value)


@given(st.text(max_size=80))
def test_any_text_is_a_value_that_can_be_kept(text: str) -> None:
    value = logged_value(text)
    assert value is None or isinstance(value, bool | int | float | str)
    assert not isinstance(value, float) or math.isfinite(value)
    assert not isinstance(value, int) or math.isfinite(float(value))


@pytest.mark.parametrize(
    "text",
    ["nan", "NaN", "inf", "-Infinity", "1e999", "9" * 5000, "[" * 6000, '"mean"', ""],
)
def test_what_is_no_value_of_a_parameter_stays_a_text(text: str) -> None:
    assert logged_value(text) == text


def test_a_null_parameter_is_absent() -> None:
    assert logged_configuration({"a": "None", "b": "null", "c": "none"}) == {
        "c": "none"
    }


def test_nested_names_are_dotted_and_a_dotted_one_wins() -> None:
    params = {"model/pooling": "mean", "optimizer/decay": "0.1", "optimizer.decay": "1"}
    expected = {"model.pooling": "mean", "optimizer.decay": 1}
    assert logged_configuration(params) == expected
    assert logged_configuration(dict(reversed(params.items()))) == expected
