"""Priors: draws have the declared distribution, and nothing becomes impossible."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from support.simulated_study import toy_space

from search.space import check_report, load_space, shipped_spaces
from search.space.density import UnitDensity
from search.space.parameters import (
    ChoiceParameter,
    FloatParameter,
    IntegerParameter,
    Parameter,
)
from search.space.prior import Prior
from search.space.space import Space
from search.space.values import Value
from sitenet_core.errors import ConfigError


def drawn(parameter: Parameter, shares: Sequence[float]) -> list[Value]:
    """Return the values that uniform numbers draw, in a space of one parameter."""
    space = toy_space(x=parameter.model_dump())
    units = space.drawn_units(np.asarray(shares, dtype=float)[:, None])
    return [space.from_units(row)["x"] for row in units.tolist()]


UNITS = st.floats(0, 1, exclude_max=True)
WEIGHTS = st.floats(0.01, 0.99)
DRAWS = 20_000

PUBLISHED = {
    "sitenet/quickstart": (
        "18a9a5e633794257774560fe01427408bda031783cd663c0560b44f66986b6ef"
    ),
    "sitenet/table1_2022": (
        "f94f118829ea02b9202bdcb4ba7af489dbe75083e6b45e8a5b0abeb5b41d050b"
    ),
    "sitenet/table1_2023": (
        "87eb161bd207f5a6d08f0c7345ac0d3eedf646781208d41119049433a7282664"
    ),
}
"""Digests from before a space could have priors and constraints: journals hold them."""


def number(prior: dict[str, object] | None = None, **changes: object) -> FloatParameter:
    fields = {"type": "float", "low": 1.0, "high": 1e4, "prior": prior} | changes
    return FloatParameter.model_validate(fields)


def integer(low: int, high: int, **prior: object) -> IntegerParameter:
    return IntegerParameter.model_validate(
        {"type": "integer", "low": low, "high": high, "prior": prior or None}
    )


def choice(*values: object, **prior: object) -> ChoiceParameter:
    return ChoiceParameter.model_validate(
        {"type": "choice", "values": values, "prior": prior or None}
    )


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    """Any kind of parameter, with a prior that fits."""
    weight = draw(WEIGHTS)
    kind = draw(st.sampled_from(["integer", "float", "log", "choice"]))
    if kind == "choice":
        values = draw(st.lists(st.integers(-9, 9), min_size=2, max_size=9, unique=True))
        picked = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        return choice(*values, value=tuple(picked), weight=weight)
    if kind == "integer":
        low = draw(st.integers(-10_000, 10_000))
        high = low + draw(st.integers(1, 10_000))
        spread = draw(st.none() | st.floats(1e-3, high - low))
        value = draw(st.integers(low, high))
        return integer(low, high, value=value, spread=spread, weight=weight)
    low, ratio = draw(st.floats(1e-9, 1e3)), draw(st.floats(1.001, 1e9))
    high = low * ratio
    widest = high / low if kind == "log" else high - low
    spread = draw(st.none() | st.floats(1.0001, widest)) if kind == "log" else None
    value = draw(st.floats(low, high))
    prior = {"value": value, "spread": spread, "weight": weight}
    return number(prior, low=low, high=high, log=kind == "log")


# Distributions -----------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("spread", [None, 3.0])
def test_drawn_floats_follow_the_declared_mixture(
    log: bool,  # noqa: FBT001 - a case
    spread: float | None,
) -> None:
    """Against scipy's truncated normal, along the value or its logarithm."""
    prior = {"value": 100.0, "spread": spread, "weight": 0.6}
    parameter = number(prior, log=log)
    shares = np.random.default_rng(1).random(DRAWS)
    values = np.array(drawn(parameter, shares))
    scale = np.log if log else np.asarray
    low, high, centre = scale(1.0), scale(1e4), scale(100.0)
    deviation = 0.1 * (high - low) if spread is None else float(scale(spread))
    bell = stats.truncnorm(
        (low - centre) / deviation, (high - centre) / deviation, centre, deviation
    )

    def below(values: np.ndarray) -> np.ndarray:
        return 0.6 * bell.cdf(values) + 0.4 * (values - low) / (high - low)

    assert stats.kstest(scale(values), below).pvalue > 0.01
    # And it can fail: without the prior the same numbers are something else.
    plain = np.array(drawn(number(log=log), shares))
    assert stats.kstest(scale(plain), below).pvalue < 1e-9


@pytest.mark.parametrize("high", [8, 5000], ids=["cells", "many values"])
def test_drawn_integers_follow_the_declared_mixture(high: int) -> None:
    spread = high / 5
    parameter = integer(1, high, value=3, spread=spread, weight=0.5)
    shares = np.random.default_rng(2).random(DRAWS)
    values = drawn(parameter, shares)
    edges = np.arange(high + 1) + 0.5
    bell = stats.truncnorm((0.5 - 3) / spread, (high + 0.5 - 3) / spread, 3, spread)
    expected = 0.5 * np.diff(bell.cdf(edges)) + 0.5 / high
    groups = np.array_split(np.arange(high), 8)
    found = np.bincount(values, minlength=high + 1)[1:]
    result = stats.chisquare(
        [found[g].sum() for g in groups], [expected[g].sum() * DRAWS for g in groups]
    )
    assert result.pvalue > 0.01


def test_drawn_choices_follow_the_declared_mixture() -> None:
    shares = ((np.arange(1200) + 0.5) / 1200).tolist()
    one = choice("a", "b", "c", value="b", weight=0.5)
    values = drawn(one, shares)
    assert [values.count(v) for v in "abc"] == [200, 800, 200]
    two = choice("a", "b", "c", value=["a", "c"], weight=0.5)
    values = drawn(two, shares)
    assert [values.count(v) for v in "abc"] == [500, 200, 500]


def test_a_null_of_a_choice_can_be_believed_in() -> None:
    parameter = choice(None, 4.0, value=None, weight=0.8)
    assert drawn(parameter, [0.85, 0.95]) == [None, 4.0]


def test_without_a_prior_the_unit_is_the_number_itself() -> None:
    for parameter in (number(), integer(1, 9), choice("a", "b")):
        units = [0.0, 0.3, 0.77, math.nextafter(1, 0)]
        assert drawn(parameter, units) == [parameter.from_unit(unit) for unit in units]
        assert parameter.density.at([0.2, 0.9]).tolist() == [1.0, 1.0]
        assert parameter.density.log_at(0.5) == 0.0


@settings(deadline=None)
@given(parameters(), st.lists(UNITS, min_size=2, max_size=20))
def test_draws_rise_with_the_number_and_stay_possible(
    parameter: Parameter, shares: list[float]
) -> None:
    values = drawn(parameter, sorted(shares))
    assert all(parameter.fault(value) is None for value in values)
    units = [parameter.to_unit(value) for value in values]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(units))


@settings(deadline=None)
@given(parameters(), UNITS)
def test_a_value_comes_back_from_its_unit(parameter: Parameter, unit: float) -> None:
    value = parameter.from_unit(unit)
    place = parameter.to_unit(value)
    assert 0 <= place <= 1
    again = parameter.from_unit(min(place, math.nextafter(1, 0)))
    if isinstance(parameter, FloatParameter):
        assert again == pytest.approx(value, rel=1e-9)
        assert place == pytest.approx(unit, abs=1e-6)
    else:
        assert (again, type(again)) == (value, type(value))
        assert abs(place - unit) <= 0.5 / parameter.size + 1e-9


@settings(deadline=None)
@given(parameters(), st.lists(UNITS, min_size=1, max_size=9))
def test_a_density_integrates_to_one_and_rules_nothing_out(
    parameter: Parameter, units: list[float]
) -> None:
    density, prior = parameter.density, parameter.prior
    assert prior is not None
    assert (density.at(units) >= 0.999 * (1 - prior.weight)).all()
    assert density.log_at(units) == pytest.approx(np.log(density.at(units)))
    middles = (density.knots[1:] + density.knots[:-1]) / 2
    assert float(np.sum(density.at(middles) * np.diff(density.knots))) == pytest.approx(
        1
    )
    assert density.below([0.0, 1.0]).tolist() == [0.0, pytest.approx(1.0)]
    assert density.below(density.quantile(units)) == pytest.approx(units, abs=1e-9)


def test_the_density_of_an_integer_is_its_probability() -> None:
    parameter = integer(1, 4, value=2, spread=0.01, weight=0.25)
    places = [parameter.to_unit(value) for value in range(1, 5)]
    shares = parameter.density.at(places) / 4
    assert shares == pytest.approx([0.1875, 0.4375, 0.1875, 0.1875])


def test_a_space_draws_one_number_per_parameter_with_and_without_priors() -> None:
    axis = {"type": "float", "low": 0.0, "high": 1.0}
    plain = toy_space(x=axis, y=axis)
    moved = toy_space(x=axis | {"prior": {"value": 0.9, "weight": 0.9}}, y=axis)
    first, second = (s.sample(np.random.default_rng(3)) for s in (plain, moved))
    assert first["y"] == second["y"]
    assert first["x"] != second["x"]
    units = moved.drawn_units(np.array([[0.5, 0.25], [0.01, 0.75]]))
    assert units[:, 1].tolist() == [0.25, 0.75]
    assert units[0, 0] == pytest.approx(0.9, abs=0.05)
    # A place of the range stays where it is.
    assert moved.from_units([0.5, 0.25]) == {"x": 0.5, "y": 0.25}


def test_the_report_tells_what_is_believed() -> None:
    axis = {"type": "float", "low": 0.0, "high": 1.0}
    space = toy_space(
        x=axis | {"prior": {"value": 0.9, "spread": 0.2}},
        y={"type": "choice", "values": [1, 2], "prior": {"value": [1, 2]}},
        z=axis,
    )
    report = check_report(space)
    assert report.priors == {
        "x": "0.9, spread 0.2, weight 0.25",
        "y": "1 or 2, weight 0.25",
    }
    assert "  x  float 0 to 1  prior 0.9, spread 0.2" in "\n".join(report.lines())


# Declarations ------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_spaces())
def test_published_spaces_keep_their_digests_and_their_samples(name: str) -> None:
    space = load_space(name)
    assert space.digest == PUBLISHED[name]
    units = np.random.default_rng(4).random(len(space.parameters))
    sample = space.sample(np.random.default_rng(4))
    assert sample == space.from_units(units.tolist())


def test_a_prior_changes_the_digest_and_survives_json() -> None:
    axis = {"type": "float", "low": 0.0, "high": 1.0}
    plain, moved = toy_space(x=axis), toy_space(x=axis | {"prior": {"value": 0.9}})
    assert plain.digest != moved.digest
    again = Space.model_validate_json(moved.model_dump_json())
    assert again == moved
    assert again.digest == moved.digest
    listed = choice("a", "b", "c", value=["a", "c"])
    assert ChoiceParameter.model_validate_json(listed.model_dump_json()) == listed


def test_a_parameter_refuses_a_prior_that_does_not_fit() -> None:
    with pytest.raises(ValidationError, match=r"prior value: 0\.5 lies outside"):
        number({"value": 0.5})
    with pytest.raises(ValidationError, match="nothing of the prior"):
        Prior(value=1, weight=0.0)
    with pytest.raises(ValidationError, match="no other value possible"):
        Prior(value=1, weight=1.0)


def test_equal_parameters_are_equal_after_their_densities_were_used() -> None:
    first, second = integer(1, 9, value=3), integer(1, 9, value=3)
    assert isinstance(first.density, UnitDensity)
    assert second.density is not first.density
    assert first == second


HEAD = "version: 1\nfamily: sitenet\npreset: test\nparameters:\n"
WIDTH = "  model.pre_pooling.width: {type: integer, low: 1, high: 8, prior: "
RATE = (
    "  optimizer.learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true, prior: "
)
POOLING = "  model.pooling: {type: choice, values: [mean, max], prior: "
PLACES = {
    "a number in place of the mapping": (
        WIDTH + "4}",
        (
            "space.yaml:5:61: parameters.model.pre_pooling.width.prior: a mapping was "
            "expected, such as {value: 16, weight: 0.25}"
        ),
    ),
    "no value": (
        WIDTH + "{weight: 0.5}}",
        "prior.value: this key is missing",
    ),
    "unknown key": (
        WIDTH + "{value: 4, wieght: 0.5}}",
        (
            "space.yaml:5:79: parameters.model.pre_pooling.width.prior.wieght: unknown "
            "key; did you mean 'weight'?"
        ),
    ),
    "value outside the range": (
        WIDTH + "{value: 9}}",
        (
            "space.yaml:5:69: parameters.model.pre_pooling.width.prior.value: 9 lies "
            "outside 1 to 8"
        ),
    ),
    "value of the wrong type": (
        WIDTH + "{value: 4.5}}",
        "prior.value: an integer was expected (found 4.5)",
    ),
    "several values of a number": (
        WIDTH + "{value: [2, 4]}}",
        "prior.value: one value was expected; only a choice takes several",
    ),
    "no values": (
        POOLING + "{value: []}}",
        "prior.value: the list is empty; name the values that are believed good",
    ),
    "a mapping as value": (
        WIDTH + "{value: {low: 2}}}",
        "prior.value: a single value was expected (found {'low': 2})",
    ),
    "an endless value": (
        RATE + "{value: .inf}}",
        "prior.value: a finite number was expected (found inf)",
    ),
    "weight one": (
        WIDTH + "{value: 4, weight: 1}}",
        (
            "space.yaml:5:79: parameters.model.pre_pooling.width.prior.weight: the "
            "weight of a prior lies between 0 and 1, both left out, such as 0.25: 1 "
            "would leave no other value possible"
        ),
    ),
    "weight in quotes": (
        WIDTH + "{value: 4, weight: '0.5'}}",
        "prior.weight: input should be a valid number (found '0.5')",
    ),
    "spread without extent": (
        WIDTH + "{value: 4, spread: 0}}",
        "prior.spread: the spread lies above 0 and is at most high - low = 7 (found 0)",
    ),
    "spread wider than the range": (
        WIDTH + "{value: 4, spread: 8}}",
        "prior.spread: the spread lies above 0 and is at most high - low = 7 (found 8)",
    ),
    "spread that is no factor": (
        RATE + "{value: 1e-3, spread: 1e-4}}",
        (
            "prior.spread: on a logarithmic range the spread is a factor above 1 and "
            "at most high / low = 100, such as 3 (found 0.0001)"
        ),
    ),
    "spread of a choice": (
        POOLING + "{value: max, spread: 2}}",
        "prior.spread: a choice has no spread; leave it out",
    ),
    "value that the choice lacks": (
        POOLING + "{value: [max, median]}}",
        (
            "space.yaml:5:62: parameters.model.pooling.prior.value: 'median' is not "
            "one of mean, max"
        ),
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_each_mistake_in_a_prior_is_named_with_its_place(
    tmp_path: Path, case: str
) -> None:
    text, expected = PLACES[case]
    path = tmp_path / "space.yaml"
    path.write_text(HEAD + text + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_space(path)
    (line,) = str(caught.value).split("\n")
    assert expected in line
