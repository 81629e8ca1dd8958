"""Constraints: read without executing, kept by every sample, measured and explained."""

import json
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.simulated_study import toy_space

from search.engine.searchers import next_proposal
from search.engine.searchers.protocol import NO_EARLIER, Earlier
from search.journal.records import TrialRecord
from search.space import Space, check_report, load_space
from search.space.acceptance import Acceptance, measure_acceptance
from search.space.constraints import COMPARISONS, parse_constraint
from search.space.values import Value
from sitenet_core.errors import ConfigError

AXES: dict[str, dict[str, object]] = {
    "a.x": {"type": "integer", "low": 1, "high": 8},
    "a.y": {"type": "float", "low": -2.0, "high": 3.0},
    "n": {"type": "choice", "values": [None, 2, 4.5]},
    "z": {
        "type": "integer",
        "low": 0,
        "high": 9,
        "when": [{"parameter": "a.x", "operator": "at_least", "operands": [4]}],
    },
}


def constrained(*constraints: str, **parameters: dict[str, object]) -> Space:
    data = toy_space(**(parameters or AXES)).model_dump()
    return Space.model_validate(data | {"constraints": constraints})


# The language ------------------------------------------------------------------------

NAMES = ("a.x", "a.y", "n", "z")


@st.composite
def sums(draw: st.DrawFn, depth: int = 3) -> tuple[str, Callable[[dict], float]]:
    """A text and what it means, worked out by Python's own operators."""
    kinds = ["number", "name"] + ["negated", "bracket", "+", "-", "*"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    if kind == "number":
        number = draw(st.floats(0, 1e6) | st.integers(0, 99))
        return repr(number), lambda _: float(number)
    if kind == "name":
        name = draw(st.sampled_from(NAMES))
        return name, lambda values: values[name]
    text, value = draw(sums(depth=depth - 1))
    if kind == "negated":
        return f"-({text})", lambda values: -value(values)
    if kind == "bracket":
        return f"( {text} )", value
    other_text, other = draw(sums(depth=depth - 1))
    if kind == "*":
        text, other_text = f"({text})", f"({other_text})"
    elif kind == "-":
        other_text = f"({other_text})"
    apply = {"+": operator.add, "-": operator.sub, "*": operator.mul}[kind]
    return (
        f"{text}{kind} {other_text}",
        lambda values: apply(value(values), other(values)),
    )


@settings(deadline=None)
@given(
    sums(),
    st.sampled_from(sorted(COMPARISONS)),
    sums(),
    st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(-9, 9))),
)
def test_a_constraint_means_what_python_would_compute(
    left: tuple[str, Callable[[dict], float]],
    comparison: str,
    right: tuple[str, Callable[[dict], float]],
    flat: dict[str, int],
) -> None:
    text = f"{left[0]} {comparison}{right[0]}"
    assume(any(name in text for name in NAMES))
    rule = parse_constraint(text)
    values = {name: float(value) for name, value in flat.items()}
    expected = COMPARISONS[comparison](left[1](values), right[1](values))
    assert rule.holds(flat) == expected
    if rule.never_holds(dict.fromkeys(NAMES, (-9.0, 9.0))):
        assert not expected


@pytest.mark.parametrize(
    ("text", "holds", "fails"),
    [
        ("2 + 3 * n == 14", 4, 5),
        ("(2 + 3) * n == 20", 4, 5),
        ("10 - 4 - n == 2", 4, 5),
        ("-n * 2 == -8", 4, 5),
        ("2 * -n - -1 == -7", 4, 5),
        ("- - n == 4.0e0", 4, -4),
        ("n>.5", 0.51, 0.5),
        ("n <= 5.", 5, 5.01),
        ("n*n != 16", 5, 4),
    ],
)
def test_products_bind_tighter_than_sums_and_a_sign_tightest(
    text: str, holds: float, fails: float
) -> None:
    assert parse_constraint(text).holds({"n": holds})
    assert not parse_constraint(text).holds({"n": fails})


UNREADABLE = {
    "": "a comparison was expected, such as `model.attention_heads * ",
    "n * 3": "a comparison was expected, such as `model.attention_heads * ",
    "1 <= n <= 3": "one comparison was expected; write a constraint for each",
    "1 <= 2": "names no parameter",
    "n <=": "a parameter or a number is missing",
    "<= n": "a parameter or a number is missing",
    "n + <= 3": "a parameter or a number is missing after `+`",
    "n * * 3 <= 3": "a parameter or a number is missing before `*`",
    "n ** 2 <= 3": "a parameter or a number is missing before `*`",
    "+ n <= 3": "a parameter or a number is missing before `+`",
    "() <= n": "a parameter or a number is missing before `)`",
    "(n <= 3": "a parenthesis is not closed",
    "n) <= 3": "a parenthesis is closed that was never opened",
    "2 n <= 3": "+, - or * is missing before `n`",
    "2n <= 3": "+, - or * is missing before `n`",
    "n m <= 3": "+, - or * is missing before `m`",
    "n (3) <= 3": "+, - or * is missing before `(`",
    "n <= 1 and n >= 0": "one comparison was expected; write a constraint for each",
    "n / 2 <= 3": "cannot be read from `/ 2 <= 3` on; multiply the other side instead",
    "n = 3": "cannot be read from `= 3` on; write == or <=",
    "n ≤ 3": "cannot be read from `≤ 3` on; write <=",
    "n % 2 == 0": "cannot be read from `% 2 == 0` on; allowed: parameters, numbers",
    "n. <= 3": "cannot be read from `. <= 3` on",
    "n <= 1e999": "the number 1e999 is too large",
    "__import__('os') == 1": "cannot be read from `'os') == 1` on",
    "n <= '3'": "cannot be read from `'3'` on",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_constraint_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(UNREADABLE[text])):
        parse_constraint(text)
    with pytest.raises(ValidationError, match="constraints"):
        constrained(text)


WORDS = st.sampled_from(
    [*NAMES, *COMPARISONS, *"+-*()", "1", "2.5", "1e9", " ", ".", "/", "if", "−", "\0"]
)


@settings(deadline=None, max_examples=300)
@given(st.text() | st.lists(WORDS).map("".join))
@example("(" * 2_000 + "n <= 1")
@example("-" * 2_000 + "n <= 1")
@example("n" + "+1" * 2_000 + "<= 1")
@example("9" * 5_000 + " <= n")
def test_the_reader_meets_any_text_with_a_constraint_or_a_message(text: str) -> None:
    try:
        rule = parse_constraint(text)
    except ValueError as error:
        message = str(error)
    else:
        message = rule.describe_break(dict.fromkeys(rule.names, 1.5))
        assert rule.holds(dict.fromkeys(rule.names)) is True
        rule.never_holds(dict.fromkeys(rule.names, (-1e300, 1e300)))
    assert 0 < len(message) < len(text) + 200


# Spaces ------------------------------------------------------------------------------


def test_an_inactive_or_null_parameter_satisfies_its_constraint() -> None:
    space = constrained("z * n >= 1000")
    flat: dict[str, Value] = {"a.x": 1, "a.y": 0.0, "n": 2, "z": None}
    assert space.allows(flat)
    assert space.allows(flat | {"a.x": 5, "z": 3, "n": None})
    assert not space.allows(flat | {"a.x": 5, "z": 3})


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.builds(
            "{} * {} + {} {} {}".format,
            st.sampled_from(NAMES),
            st.sampled_from([*NAMES, "2", "-1"]),
            st.sampled_from([*NAMES, "3"]),
            st.sampled_from(["<=", ">", "<", ">=", "!="]),
            st.integers(-5, 40),
        ),
        max_size=3,
    ),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_samples_satisfy_every_constraint(
    constraints: list[str],
    seed: int,
    believed: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    axes = dict(AXES)
    if believed:
        axes["a.x"] = axes["a.x"] | {"prior": {"value": 7, "weight": 0.9}}
    space = constrained(*constraints, **axes)
    assume(measure_acceptance(space, draws=200).allowed > 0)
    generator = np.random.default_rng(seed)
    for _ in range(5):
        flat = space.sample(generator)
        assert space.faults(flat) == {}
        assert all(_holds(text, flat) for text in constraints)


def _holds(text: str, flat: Mapping[str, Value]) -> bool:
    """Read `A * B + C SIGN NUMBER` once more, in another way."""
    a, _, b, _, c, sign, bound = text.split()
    values = [flat[word] if word in flat else float(word) for word in (a, b, c)]
    if any(value is None for value in values):
        return True
    first, second, third = (float(value) for value in values if value is not None)
    return COMPARISONS[sign](first * second + third, float(bound))


def test_without_constraints_samples_are_the_uniform_numbers_in_turn() -> None:
    space = constrained()
    generator, again = np.random.default_rng(8), np.random.default_rng(8)
    for _ in range(5):
        assert space.sample(generator) == space.from_units(again.random(4).tolist())


def test_a_rejected_draw_is_followed_by_the_next_whole_one() -> None:
    space = constrained("a.x >= 7")
    numbers = np.random.default_rng(8)
    drawn = [space.from_units(numbers.random(4).tolist()) for _ in range(60)]
    expected = [flat for flat in drawn if space.allows(flat)]
    generator = np.random.default_rng(8)
    assert [space.sample(generator) for _ in expected] == expected
    assert 5 < len(expected) < 30


def test_a_space_that_allows_nothing_says_so_instead_of_looking_for_ever() -> None:
    space = constrained("a.y == 0.5")
    with pytest.raises(
        ConfigError, match=r"none of 20,000 random configurations .*a\.y == 0\.5"
    ):
        space.sample(np.random.default_rng(0))


def test_constraints_change_the_digest_and_survive_json() -> None:
    free, bound = constrained(), constrained("a.x * a.y <= 4")
    assert free.digest == toy_space(**AXES).digest
    assert "constraints" in free.model_dump()
    assert bound.digest != free.digest
    again = Space.model_validate_json(bound.model_dump_json())
    assert (again, again.digest) == (bound, bound.digest)
    assert again.allows({"a.x": 2, "a.y": 2.0, "n": 2, "z": None})


class Stubborn:
    """Proposes what the constraints forbid."""

    def propose(
        self,
        space: Space,
        history: object,  # noqa: ARG002 - part of the contract
        *,
        trial: int,  # noqa: ARG002
        seed: int,  # noqa: ARG002
        earlier: Earlier = NO_EARLIER,  # noqa: ARG002
    ) -> dict[str, Value]:
        return space.resolve({"a.x": 8, "a.y": 0.0, "n": 2, "z": 9})


def test_a_forbidden_proposal_is_replaced_by_an_allowed_one() -> None:
    history: tuple[TrialRecord, ...] = ()
    for seed in range(20):
        space = constrained("a.x <= 2")
        proposal = next_proposal(Stubborn(), space, history, trial=3, seed=seed)
        assert space.allows(proposal.configuration)
    free = next_proposal(Stubborn(), constrained(), history, trial=3, seed=0)
    assert free.configuration["a.x"] == 8


def test_a_forbidden_configuration_is_not_carried_over() -> None:
    flats = [{"a.x": n, "a.y": 0.0, "n": 2, "z": None} for n in (3, 1)]
    earlier = Earlier(portfolio=tuple(flats))
    space = constrained("a.x <= 2")
    proposal = next_proposal(Stubborn(), space, (), trial=0, seed=0, earlier=earlier)
    assert (proposal.configuration, proposal.source) == (flats[1], "portfolio")


# Acceptance --------------------------------------------------------------------------


def test_the_acceptance_is_measured_with_its_interval() -> None:
    space = constrained("a.x <= 2", "a.y <= 0.5")
    found = measure_acceptance(space)
    assert found.draws == 10_000
    assert found.interval[0] < 0.25 * 0.5 < found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.02
    shares = [count / found.draws for count in found.rejections.values()]
    assert shares == pytest.approx([0.75, 0.5], abs=0.02)


def test_the_interval_holds_at_the_ends_too() -> None:
    """Against the table of Wilson intervals: 0 of 10 and 10 of 10."""
    none, all_ = Acceptance(10, 0, {}), Acceptance(10, 10, {})
    assert none.interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert all_.interval == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_the_report_shows_what_each_constraint_rejects() -> None:
    report = check_report(constrained("a.x <= 2", "a.y <= 0.5"))
    assert report.acceptance is not None
    assert report.acceptance.low < report.acceptance.rate < report.acceptance.high
    text = "\n".join(report.lines())
    assert "countless discrete combinations" not in text
    assert "discrete combinations before constraints" in text
    assert "  a.x <= 2  rejects 75" in text
    assert f"constraints allow {100 * report.acceptance.rate:.3g} % of" in text
    plain = check_report(constrained())
    assert (plain.acceptance, plain.constraints) == (None, [])
    assert "constraints" not in "\n".join(plain.lines())


# Files -------------------------------------------------------------------------------

HEAD = """\
version: 1
family: sitenet
preset: test
fixed: {model.embedding_dim: 4}
parameters:
  model.attention_heads: {type: integer, low: 1, high: 8}
  model.site_dim_per_head: {type: integer, low: 4, high: 32}
  model.pooling: {type: choice, values: [mean, max]}
constraints:
  - model.site_dim_per_head >= 5
"""
MISTAKES = {
    "unknown name": (
        "  - model.attention_head * 2 <= 8\n",
        (
            "space.yaml:11:5: constraints.1: model.attention_head is not a parameter; "
            "did you mean 'model.attention_heads'?"
        ),
    ),
    "fixed name": (
        "  - model.attention_heads <= model.embedding_dim\n",
        (
            "space.yaml:11:5: constraints.1: model.embedding_dim is fixed at 4: write "
            "the number"
        ),
    ),
    "choice of words": (
        "  - model.pooling == 2\n",
        (
            "space.yaml:11:5: constraints.1: model.pooling can be mean, and a "
            "constraint compares numbers; `when` makes one parameter depend on such"
        ),
    ),
    "no comparison": (
        "  - model.attention_heads * 2\n",
        "space.yaml:11:5: constraints.1: a comparison was expected, such as `model.",
    ),
    "no text": (
        "  - 4\n",
        "space.yaml:11:5: constraints.1: input should be a valid string (found 4)",
    ),
    "never true": (
        "  - model.attention_heads * model.site_dim_per_head <= 3\n",
        (
            "space.yaml:11:5: constraints.1: never true: the left side is 4 to 256, "
            "the right side 3 to 3"
        ),
    ),
    "never true together": (
        (
            "  - model.attention_heads * model.site_dim_per_head <= 32\n"
            "  - model.attention_heads * model.site_dim_per_head >= 33\n"
        ),
        (
            "space.yaml:9:1: constraints: allow 0 of 10,000 random configurations (0 % "
            "to 0.0384 % of the space, 95 % interval); at least 0.1 % is needed. "
            "Rejected by: `model.attention_heads * model.site_dim_per_head <= 32` "
        ),
    ),
    "known good that breaks one": (
        (
            "known_good:\n"
            "  - model.attention_heads: 1\n"
            "    model.site_dim_per_head: 4\n"
            "    model.pooling: max\n"
        ),
        (
            "space.yaml:12:5: known_good.0: breaks `model.site_dim_per_head >= 5`: "
            "4 >= 5 is not true"
        ),
    ),
}


def _load(tmp_path: Path, text: str) -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


@pytest.mark.parametrize("case", MISTAKES)
def test_each_mistake_in_a_constraint_is_named_with_its_place(
    tmp_path: Path, case: str
) -> None:
    text, expected = MISTAKES[case]
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, HEAD + text)
    (line,) = str(caught.value).split("\n")
    assert expected in line


def test_constraints_are_checked_beside_other_mistakes(tmp_path: Path) -> None:
    text = HEAD.replace("high: 8", "high: 0").replace("preset: test", "presett: test")
    text += "  - model.attention_heads <= model.nothing\n  - model.pooling <= 3\n"
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    places = [line.split(": ")[1] for line in str(caught.value).split("\n")]
    assert places == [
        "preset",
        "presett",
        "parameters.model.attention_heads.high",
        "constraints.1",
        "constraints.2",
    ]


def test_a_constraint_can_exclude_what_the_family_refuses(tmp_path: Path) -> None:
    """65 heads are refused by the family; here the bound is never reached."""
    text = HEAD.replace("high: 8", "high: 65")
    with pytest.raises(ConfigError, match="less than or equal to 64"):
        _load(tmp_path, text)
    space = _load(tmp_path, text + "  - model.attention_heads <= 64\n")
    assert space.constraints[1] == "model.attention_heads <= 64"


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(min_size=1) | st.lists(WORDS).map("".join), min_size=1))
def test_any_list_of_texts_loads_or_is_refused_in_good_order(
    tmp_path_factory: pytest.TempPathFactory, constraints: list[str]
) -> None:
    lines = "".join(f"  - {json.dumps(text)}\n" for text in constraints)
    folder = tmp_path_factory.mktemp("space")
    try:
        space = _load(folder, HEAD + lines)
    except ConfigError as error:
        message = str(error)
    else:
        message = f"{folder}/space.yaml:"
        assert space.allows(space.sample(np.random.default_rng(0)))
    assert message.startswith(f"{folder}/space.yaml:")
