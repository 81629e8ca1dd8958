"""What earlier studies hand on: ranks, translation into a new space, the portfolio."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from support.simulated_study import finished, square, toy_space

from search.engine.warm_start import EarlierStudy, WarmStart, carry_over, ranks
from search.engine.warm_start.earlier_study import MAX_TRIALS
from search.engine.warm_start.portfolio import Tried, portfolio
from search.engine.warm_start.translation import (
    UntranslatableError,
    known_values,
    translate,
)
from search.space import Space, Value
from search.trial.outcome import Outcome

SPACE = toy_space(
    depth={"type": "integer", "low": 0, "high": 3},
    width={
        "type": "integer",
        "low": 32,
        "high": 256,
        "when": [{"parameter": "depth", "operator": "at_least", "operands": [1]}],
    },
    rate={"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    kind={"type": "choice", "values": ["a", "b", None]},
)
TRIED: dict[str, Value] = {"depth": 2, "width": 64, "rate": 1e-3, "kind": "a"}


def study(name: str, *tried: tuple[Mapping[str, Value], float]) -> EarlierStudy:
    records = [finished(k, flat, value) for k, (flat, value) in enumerate(tried)]
    return EarlierStudy.of(name, "here", records)


def test_ranks_go_from_the_best_to_the_worst() -> None:
    records = [finished(k, {}, value) for k, value in enumerate([3.0, 1.0, 2.0])]
    assert ranks(records) == {1: 0.0, 2: 0.5, 0: 1.0}


def test_a_deeper_rung_comes_first_and_values_of_two_rungs_are_not_compared() -> None:
    promoted = finished(0, {}, 5.0, epoch=9)
    stopped = finished(1, {}, 1.0, epoch=3, outcome=Outcome.STOPPED)
    waiting = finished(2, {}, 2.0, epoch=3, outcome=None)
    assert ranks([promoted, stopped, waiting]) == {0: 0.0, 1: 0.5, 2: 1.0}


def test_equal_values_share_the_mean_of_their_places() -> None:
    records = [finished(k, {}, value) for k, value in enumerate([1.0, 2.0, 2.0, 3.0])]
    assert ranks(records) == {0: 0.0, 1: 0.5, 2: 0.5, 3: 1.0}


def test_failures_share_the_last_place_and_an_innocent_one_has_none() -> None:
    good = [finished(k, {}, float(k)) for k in range(2)]
    failed = [
        finished(2 + k, {}, None, outcome=outcome)
        for k, outcome in enumerate((Outcome.FAILED_NAN, Outcome.FAILED_OOM))
    ]
    innocent = finished(4, {}, 0.0, outcome=Outcome.FAILED_DATA)
    cancelled = finished(5, {}, None, outcome=Outcome.CANCELLED)
    found = ranks([*good, *failed, innocent, cancelled])
    assert found == {0: 0.0, 1: pytest.approx(1 / 3), 2: 1.0, 3: 1.0}
    assert ranks(failed) == {}, "failures alone have no order"


def test_a_configuration_of_the_same_space_is_carried_over_as_it_is() -> None:
    translation = translate(TRIED, SPACE, {})
    assert translation.configuration == TRIED
    assert translation.is_exact


def test_what_the_earlier_study_lacks_takes_the_known_value() -> None:
    known = known_values(SPACE, {"rate": 0.02, "width": 1000, "other": 3})
    translation = translate({"depth": 1, "kind": "b"}, SPACE, known)
    assert translation.configuration == {
        "depth": 1,
        "width": 256,
        "rate": 0.02,
        "kind": "b",
    }
    assert translation.filled == ("width", "rate")


def test_a_known_good_value_goes_before_that_of_the_preset() -> None:
    good = {"depth": 0, "width": None, "rate": 0.05, "kind": "b"}
    space = SPACE.model_copy(update={"known_good": (good,)})
    known = known_values(space, {"rate": 0.02, "width": 100})
    assert known == {"depth": 0, "width": 100, "rate": 0.05, "kind": "b"}


def test_a_parameter_that_was_inactive_is_filled_in_where_it_is_active_now() -> None:
    always = toy_space(
        depth={"type": "integer", "low": 0, "high": 3},
        width={"type": "integer", "low": 32, "high": 256},
    )
    translation = translate({"depth": 0, "width": None}, always, {"width": 40})
    assert translation.configuration == {"depth": 0, "width": 40}
    assert translation.filled == ("width",)


def test_a_number_outside_the_range_moves_to_its_end() -> None:
    translation = translate({**TRIED, "rate": 7.0, "width": 8}, SPACE, {})
    assert translation.configuration == {**TRIED, "rate": 0.1, "width": 32}
    assert translation.moved == ("width", "rate")
    assert not translation.is_exact


def test_a_choice_that_is_not_offered_leaves_the_configuration_out() -> None:
    with pytest.raises(UntranslatableError, match="kind: 'c' is not one of"):
        translate({**TRIED, "kind": "c"}, SPACE, {})


def test_an_inactive_parameter_with_a_foreign_value_does_no_harm() -> None:
    flat = {**TRIED, "depth": 0, "width": "wide"}
    assert translate(flat, SPACE, {}).configuration["width"] is None


def test_a_configuration_without_any_parameter_in_common_is_left_out() -> None:
    with pytest.raises(UntranslatableError, match="none of the parameters"):
        translate({"momentum": 0.9}, square(), {})


def test_what_a_constraint_rules_out_is_left_out() -> None:
    space = square().model_copy(update={"constraints": ("x + y <= 1",)})
    assert translate({"x": 0.5, "y": 0.5}, space, {}).is_exact
    with pytest.raises(UntranslatableError, match="constraint"):
        translate({"x": 0.9, "y": 0.5}, space, {})


def test_a_whole_number_written_as_a_fraction_is_the_same_number() -> None:
    space = toy_space(depth={"type": "integer", "low": 0, "high": 3})
    translation = translate({"depth": 2.0}, space, {})
    assert translation.is_exact
    assert type(translation.configuration["depth"]) is int


def grid(*best: tuple[float, float]) -> list[Tried]:
    """A study of `square` on a grid whose best trials lie nearest to `best`."""
    points = [(x / 10, y / 10) for x in range(11) for y in range(11)]

    def loss(point: tuple[float, float]) -> float:
        return min((point[0] - x) ** 2 + (point[1] - y) ** 2 for x, y in best)

    ordered = sorted(points, key=loss)
    return [Tried({"x": x, "y": y}, k / 120) for k, (x, y) in enumerate(ordered)]


def test_the_portfolio_holds_something_good_for_every_study() -> None:
    studies = [grid((0.1, 0.1)), grid((0.1, 0.1)), grid((0.9, 0.9))]
    chosen = portfolio(square(), studies, 2)
    assert [(flat["x"], flat["y"]) for flat in chosen] == [(0.1, 0.1), (0.9, 0.9)]


def test_the_first_of_the_portfolio_is_the_best_single_one() -> None:
    studies = [grid((0.2, 0.2), (0.6, 0.6)), grid((0.8, 0.2), (0.6, 0.6))]
    (first,) = portfolio(square(), studies, 1)
    assert (first["x"], first["y"]) == pytest.approx((0.6, 0.6))


def test_what_is_tried_anyway_is_not_carried_over_again() -> None:
    studies = [grid((0.1, 0.1)), grid((0.9, 0.9))]
    (only,) = portfolio(square(), studies, 1, given=[{"x": 0.1, "y": 0.1}])
    assert (only["x"], only["y"]) == (0.9, 0.9)


def test_equal_candidates_are_taken_in_the_order_of_study_and_trial() -> None:
    studies = [[Tried({"x": x, "y": 0.5}, 0.0)] for x in (0.7, 0.2, 0.4)]
    chosen = portfolio(square(), studies, 2)
    assert [flat["x"] for flat in chosen] == [0.7, 0.2]


def test_a_portfolio_has_no_configuration_twice() -> None:
    same = grid((0.5, 0.5))
    chosen = portfolio(square(), [same, same, same], 5)
    assert len({tuple(flat.values()) for flat in chosen}) == len(chosen) == 3


def test_a_portfolio_of_a_space_with_conditions_and_choices() -> None:
    without = {**TRIED, "depth": 0, "width": None}
    other = {**TRIED, "kind": None}
    trials = [Tried(flat, k / 2) for k, flat in enumerate((TRIED, without, other))]
    assert portfolio(SPACE, [trials], 3)[0] == TRIED


def test_every_trial_is_accounted_for() -> None:
    first = study("first", (TRIED, 1.0), ({**TRIED, "rate": 9.0}, 2.0))
    second = study("second", ({**TRIED, "kind": "z"}, 1.0), (TRIED, 2.0))
    warm_start = carry_over([first, second], SPACE, {})
    assert [n.observations for n in warm_start.notes] == [1, 1]
    assert [n.changed for n in warm_start.notes] == [1, 0]
    assert list(warm_start.notes[1].left_out.values()) == [1]
    earlier = warm_start.earlier(SPACE, {})
    assert [o.rank for o in earlier.observations] == [0.0, 1.0]
    assert all(SPACE.faults(flat) == {} for flat in earlier.portfolio)
    text = "\n".join(warm_start.lines())
    assert "2 configurations and 2 observations of 2 earlier studies" in text
    assert "1 left out: kind: 'z' is not one of" in text


def test_a_study_that_is_named_twice_counts_once() -> None:
    tried = [(TRIED, 1.0), ({**TRIED, "rate": 1e-2}, 2.0)]
    journal, mirror = study("old", *tried), study("mlflow:old", *tried)
    other = study("other", (TRIED, 1.0), ({**TRIED, "rate": 1e-4}, 2.0))
    once = carry_over([journal, other], SPACE, {})
    twice = carry_over([journal, mirror, other], SPACE, {})
    assert twice.portfolio == once.portfolio
    assert twice.earlier(SPACE, {}) == once.earlier(SPACE, {})
    assert twice.notes[1].observations == 0
    assert twice.notes[1].left_out == {"the same trials as those of old": 2}


def test_a_long_study_hands_on_its_best_and_a_sample_of_the_rest() -> None:
    records = [finished(k, {"x": k / 2000, "y": 0.0}, float(k)) for k in range(1000)]
    trials = EarlierStudy.of("long", "here", records).trials
    assert len(trials) == MAX_TRIALS
    numbers = [trial.number for trial in trials]
    assert numbers[: MAX_TRIALS // 3] == list(range(MAX_TRIALS // 3))
    assert numbers[-1] == 999
    assert trials[-1].rank == 1.0, "ranks are those among all trials"


def test_what_is_saved_reads_back_with_the_same_digest() -> None:
    warm_start = carry_over([study("first", (TRIED, 1.0))], SPACE, {})
    again = WarmStart.model_validate_json(warm_start.model_dump_json(indent=1))
    assert again == warm_start
    assert again.full_digest == warm_start.full_digest
    assert type(again.portfolio[0]["depth"]) is int


def test_records_give_their_complete_configuration_where_it_is_known() -> None:
    record = replace(finished(0, {"x": 0.5}, 1.0))
    earlier = EarlierStudy.of("a", "b", [record], {0: {"x": 0.5, "y": 0.25}})
    space: Space = square()
    assert translate(earlier.trials[0].configuration, space, {}).is_exact
