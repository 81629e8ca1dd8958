"""Spaces: bounds reached, conditions kept, precedence, names, reports."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.simulated_study import toy_space

from search.space import (
    Space,
    check_report,
    find_space,
    load_space,
    shipped_spaces,
    spaces_root,
)
from search.space.parameters import (
    KINDS,
    ChoiceParameter,
    FloatParameter,
    IntegerParameter,
)
from search.space.parsing import SpaceHeader
from search.space.prior import Prior
from search.space.values import identity
from sitenet_core.errors import ConfigError

UNITS = st.floats(0, 1, exclude_max=True)
NESTED = toy_space(
    a={"type": "choice", "values": ["on", "off"]},
    c={
        "type": "integer",
        "low": 1,
        "high": 9,
        "when": [{"parameter": "b", "operator": "at_least", "operands": [2]}],
    },
    b={
        "type": "integer",
        "low": 0,
        "high": 3,
        "when": [{"parameter": "a", "operator": "equals", "operands": ["on"]}],
    },
)

# Parameters --------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(-1000, 1000), st.integers(1, 1000), UNITS)
def test_integers_stay_within_their_bounds(low: int, width: int, unit: float) -> None:
    parameter = IntegerParameter(type="integer", low=low, high=low + width)
    value = parameter.from_unit(unit)
    assert type(value) is int
    assert low <= value <= low + width
    assert parameter.fault(value) is None
    assert parameter.from_raw(parameter.to_raw(value)) == value


@settings(deadline=None)
@given(st.integers(-50, 50), st.integers(1, 60))
def test_every_integer_has_the_same_share_of_the_units(low: int, width: int) -> None:
    parameter = IntegerParameter(type="integer", low=low, high=low + width)
    per_value = 20
    units = (np.arange(per_value * (width + 1)) + 0.5) / (per_value * (width + 1))
    values, counts = np.unique(
        [parameter.from_unit(unit) for unit in units], return_counts=True
    )
    assert values.tolist() == list(range(low, low + width + 1))
    assert set(counts) == {per_value}


def test_the_cells_of_the_outer_integers_are_as_wide_as_the_others() -> None:
    parameter = IntegerParameter(type="integer", low=1, high=3)
    raws = [0.5, 1.49, 1.5, 2.49, 2.5, 3.49, 3.5, 0.2]
    assert [parameter.from_raw(raw) for raw in raws] == [1, 1, 2, 2, 3, 3, 3, 1]


@settings(deadline=None)
@given(st.floats(1e-9, 1e3), st.floats(1.001, 1e6), UNITS, st.booleans())
def test_floats_stay_within_their_bounds(
    low: float,
    ratio: float,
    unit: float,
    log: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    parameter = FloatParameter(type="float", low=low, high=low * ratio, log=log)
    for u in (unit, 0.0, np.nextafter(1, 0)):
        value = parameter.from_unit(float(u))
        assert type(value) is float
        assert low <= value <= low * ratio
    assert parameter.from_unit(0.0) == pytest.approx(low, rel=1e-9)
    assert parameter.from_unit(float(np.nextafter(1, 0))) == pytest.approx(low * ratio)


def test_a_log_range_gives_each_decade_the_same_share() -> None:
    parameter = FloatParameter(type="float", low=1e-4, high=1e-1, log=True)
    middle = [parameter.from_unit(unit) for unit in (1 / 3, 2 / 3)]
    assert middle == pytest.approx([1e-3, 1e-2])
    linear = FloatParameter(type="float", low=1.0, high=4.0)
    assert linear.from_unit(1 / 3) == pytest.approx(2.0)


def test_a_choice_keeps_the_kind_of_each_value() -> None:
    parameter = ChoiceParameter(type="choice", values=[True, 1, None, "1", 1.5])
    picked = [parameter.from_unit((k + 0.5) / 5) for k in range(5)]
    assert [repr(v) for v in picked] == ["True", "1", "None", "'1'", "1.5"]
    assert [parameter.to_raw(v) for v in picked] == [0, 1, 2, 3, 4]
    assert parameter.fault(False) == "False is not one of true, 1, null, 1, 1.5"


def test_bounds_that_are_not_numbers_are_refused() -> None:
    for value in (math.nan, math.inf, True, "1"):
        with pytest.raises(ValidationError, match=r"valid number|finite"):
            FloatParameter.model_validate({"type": "float", "low": value, "high": 9.0})
    with pytest.raises(ValidationError, match="valid integer"):
        IntegerParameter.model_validate({"type": "integer", "low": True, "high": 9})


def test_a_range_without_end_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"from -1e\+308 to 1e\+308 is too wide"):
        FloatParameter(type="float", low=-1e308, high=1e308)
    with pytest.raises(ValidationError, match=r"whole numbers lie within ± 2\^53"):
        IntegerParameter(type="integer", low=0, high=10**400)
    tiny = FloatParameter(type="float", low=1e-320, high=1e300, log=True)
    assert tiny.to_unit(1e-320) == 0
    assert tiny.to_unit(1e300) == 1


# Conditions --------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(UNITS, min_size=3, max_size=3))
def test_inactive_parameters_are_none_through_every_level(units: list[float]) -> None:
    flat = NESTED.from_units(units)
    assert list(flat) == ["a", "c", "b"]
    assert (flat["b"] is None) == (flat["a"] == "off")
    assert (flat["c"] is None) == (flat["b"] is None or flat["b"] < 2)
    assert NESTED.faults(flat) == {}
    assert set(NESTED.active(flat)) == {k for k, v in flat.items() if v is not None}


@pytest.mark.parametrize(
    ("operator", "operands", "active"),
    [
        ("equals", [2], {2}),
        ("in", [0, 3], {0, 3}),
        ("at_least", [2], {2, 3}),
        ("at_most", [1], {0, 1}),
    ],
)
def test_each_test_of_a_condition(
    operator: str, operands: list[int], active: set[int]
) -> None:
    space = toy_space(
        n={"type": "integer", "low": 0, "high": 3},
        m={
            "type": "choice",
            "values": ["x", "y"],
            "when": [{"parameter": "n", "operator": operator, "operands": operands}],
        },
    )
    found = {n for n in range(4) if space.resolve({"n": n, "m": "x"})["m"] == "x"}
    assert found == active


def test_two_tests_must_both_hold(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "version: 1\nfamily: sitenet\npreset: test\nparameters:\n"
        "  model.attention_blocks: {type: integer, low: 1, high: 4}\n"
        "  model.cutoff: {type: float, low: 2, high: 8,\n"
        "    when: {model.attention_blocks: {at_least: 2, at_most: 3}}}\n",
        encoding="utf-8",
    )
    space = load_space(path)
    flats = [
        space.resolve({"model.attention_blocks": n, "model.cutoff": 5.0})
        for n in range(1, 5)
    ]
    assert [f["model.cutoff"] for f in flats] == [None, 5.0, 5.0, None]


def test_a_draw_does_not_shift_with_a_condition() -> None:
    """The last parameter gets the same number whether the middle one is active."""
    first = NESTED.from_units([0.1, 0.5, 0.9])
    second = NESTED.from_units([0.1, 0.5, 0.1])
    assert first["c"] == 5
    assert second["c"] is None
    assert first["b"] == 3


# Configurations ----------------------------------------------------------------------

SMALL = """\
version: 1
family: sitenet
preset: test
fixed: {cell.max_atoms: 20, optimizer.weight_decay: 0.5}
parameters:
  model.embedding_dim: {type: integer, low: 1, high: 8}
  model.attention_weights.depth: {type: integer, low: 0, high: 1}
  model.attention_weights.width: {type: integer, low: 2, high: 8,
    when: {model.attention_weights.depth: {at_least: 1}}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Space:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return load_space(path)


FLAT = {
    "model.embedding_dim": 7,
    "model.attention_weights.depth": 0,
    "model.attention_weights.width": None,
}


def test_preset_then_fixed_then_study_then_sample(small: Space) -> None:
    plain = small.configuration(FLAT)
    assert plain.cell.max_atoms == 20
    assert plain.optimizer.weight_decay == 0.5
    assert plain.optimizer.learning_rate == 5e-3  # the preset's
    assert plain.model.embedding_dim == 7
    changed = small.configuration(
        FLAT, {"cell": {"max_atoms": 30}, "training": {"epochs": 6}}
    )
    assert changed.cell.max_atoms == 30
    assert changed.optimizer.weight_decay == 0.5
    assert changed.training.epochs == 6


def test_an_inactive_parameter_is_null_in_the_configuration(small: Space) -> None:
    """The preset's width of 8 would otherwise come back with depth 0."""
    weights = small.configuration(FLAT).model.attention_weights
    assert (weights.depth, weights.width) == (0, None)


def test_an_override_of_a_sampled_key_is_refused(small: Space) -> None:
    overrides = {"model": {"embedding_dim": 4, "attention_weights": None}}
    found = small.override_problems(overrides)
    assert [p.location for p in found] == [
        ("model", "embedding_dim"),
        ("model", "attention_weights"),
    ]
    with pytest.raises(ConfigError, match=r"model\.embedding_dim is sampled by space"):
        small.configuration(FLAT, overrides)
    # A key that only begins like a sampled one is another key.
    assert small.override_problems({"model": {"embedding_dimension": 4}}) == []


def test_an_override_that_the_family_does_not_know_is_refused(small: Space) -> None:
    with pytest.raises(ConfigError, match=r"cell\.max_atom: unknown key; did you mean"):
        small.configuration(FLAT, {"cell": {"max_atom": 4}})


# Files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_space_compiles_and_its_samples_are_valid(name: str) -> None:
    from search.engine.searchers.hyperopt_tpe import compile_space

    space = load_space(name)
    assert set(compile_space(space).params) == set(space.parameters)
    generator = np.random.default_rng(5)
    for _ in range(50):
        flat = space.sample(generator)
        assert space.faults(flat) == {}
        assert space.configuration(flat).family == space.family
    assert space.known_good
    assert space.description
    assert name in (spaces_root() / "README.md").read_text(encoding="utf-8")


def test_the_examples_in_the_readme_are_spaces(tmp_path: Path) -> None:
    text = (spaces_root() / "README.md").read_text(encoding="utf-8")
    sizes = []
    for part in text.split("```yaml\n")[1:]:
        (tmp_path / "example.yaml").write_text(part.split("```")[0], encoding="utf-8")
        space = load_space("example.yaml", tmp_path)
        sizes.append((len(space.parameters), len(space.constraints)))
    assert sizes == [(4, 0), (6, 2)]
    shown = text.split("```\n  model.attention_heads")[1].split("```")[0]
    report = "\n".join(check_report(space).lines())
    assert f"  model.attention_heads{shown}" in f"{report}\n"


def test_the_readme_lists_every_key_of_the_format() -> None:
    text = (spaces_root() / "README.md").read_text(encoding="utf-8")
    tables = {
        "the file": set(SpaceHeader.model_fields),
        "a parameter": {key for kind in KINDS.values() for key in kind.model_fields},
        "`prior`": set(Prior.model_fields),
    }
    for title, expected in tables.items():
        rows = text.split(f"| key of {title} |")[1].split("\n\n")[0].split("\n")[2:]
        cells = [row.split("|")[1] for row in rows]
        assert {key for cell in cells for key in cell.split("`")[1::2]} == expected


def test_shipped_spaces_are_found_by_name_and_files_by_path(tmp_path: Path) -> None:
    assert set(shipped_spaces()) >= {
        "sitenet/quickstart",
        "sitenet/table1_2022",
        "sitenet/table1_2023",
    }
    (tmp_path / "mine.yaml").write_text(SMALL, encoding="utf-8")
    assert find_space("mine.yaml", tmp_path) == tmp_path / "mine.yaml"
    assert load_space("mine.yaml", tmp_path).name == "mine.yaml"
    shipped = find_space("sitenet/quickstart", tmp_path)
    assert shipped == spaces_root() / "sitenet" / "quickstart.yaml"


def test_the_installed_copy_is_used_outside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.space import loading

    installed = tmp_path / "prefix" / "share" / "sitenet" / "spaces"
    (installed / "sitenet").mkdir(parents=True)
    package = tmp_path / "site-packages" / "search" / "space" / "loading.py"
    monkeypatch.setattr(loading, "__file__", str(package))
    monkeypatch.setattr(
        loading.sysconfig, "get_path", lambda _: str(tmp_path / "prefix")
    )
    assert spaces_root() == installed
    monkeypatch.setattr(loading.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(loading.site, "getuserbase", lambda: str(tmp_path))
    with pytest.raises(ConfigError, match="the shipped spaces are not installed"):
        spaces_root()


def test_a_space_round_trips_through_json_with_its_digest(small: Space) -> None:
    again = Space.model_validate_json(small.model_dump_json())
    assert again == small
    assert again.digest == small.digest
    renamed = small.model_copy(update={"name": "other", "description": "words"})
    assert renamed.digest == small.digest
    assert small.model_copy(update={"preset": "paper"}).digest != small.digest
    changed = Space.model_validate(
        small.model_dump() | {"fixed": {"cell.max_atoms": 21}}
    )
    assert changed.digest != small.digest


# Reports -----------------------------------------------------------------------------


def test_the_report_counts_and_shows(small: Space) -> None:
    report = check_report(small, n_samples=3)
    # embedding 8 x (depth 0, or depth 1 with 7 widths)
    assert report.n_discrete_combinations == 8 * (1 + 7)
    assert report.n_continuous == 0
    assert report.conditionals == {
        "model.attention_weights.width": "model.attention_weights.depth at least 1"
    }
    assert len(report.samples) == 3
    assert json.loads(json.dumps(report.as_dict()))["preset"] == "test"
    text = "\n".join(report.lines())
    assert "3 parameters (1 conditional, 0 continuous), 64 discrete" in text
    assert "sample 3: model.embedding_dim=" in text


def test_nested_conditions_are_counted_once() -> None:
    # a off: 1; a on: b in {0, 1}: 2; b in {2, 3}: 2 x 9
    assert check_report(NESTED).n_discrete_combinations == 1 + 2 + 18


def test_every_configuration_is_listed_once_without_what_is_forbidden() -> None:
    listed = NESTED.every_configuration
    assert listed is not None
    assert len({identity(flat) for flat in listed}) == len(listed) == 1 + 2 + 18
    assert all(NESTED.faults(flat) == {} for flat in listed)
    limited = NESTED.model_copy(update={"constraints": ("b + c <= 4.5",)})
    below = limited.every_configuration
    assert below is not None
    assert len(below) == 1 + 2 + 2 + 1
    assert all(limited.allows(flat) for flat in below)


def test_a_space_is_listed_up_to_ten_thousand_configurations() -> None:
    axis = {"type": "integer", "low": 1, "high": 100}
    assert len(toy_space(a=axis, b=axis).every_configuration or ()) == 10_000
    assert toy_space(a=axis, b={**axis, "high": 101}).every_configuration is None
    assert toy_space(a={**axis, "high": 2**53}).every_configuration is None
    assert load_space("sitenet/table1_2023").every_configuration is None


def test_a_continuous_decider_makes_combinations_countless() -> None:
    space = toy_space(
        x={"type": "float", "low": 0.0, "high": 1.0},
        n={
            "type": "integer",
            "low": 0,
            "high": 3,
            "when": [{"parameter": "x", "operator": "at_least", "operands": [0.5]}],
        },
    )
    report = check_report(space)
    assert report.n_discrete_combinations is None
    assert "countless" in "\n".join(report.lines())
