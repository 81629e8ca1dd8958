"""Known-good configurations first, and none twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from support.simulated_study import finished, square, toy_space

from search.engine.searchers import (
    Earlier,
    Proposal,
    is_exhausted,
    make_searcher,
    next_proposal,
)
from search.engine.searchers.proposal import MAX_REPLACEMENTS
from search.engine.searchers.protocol import generator
from search.journal.records import TrialRecord
from search.space import Value
from search.space.values import identity


def test_known_good_configurations_come_first_in_their_order() -> None:
    known = ({"x": 0.25, "y": 0.5}, {"x": 0.75, "y": 0.5})
    space = square(known_good=known)
    searcher = make_searcher("random")
    proposals: list[Proposal] = []
    for trial in range(3):
        history = [finished(k, p.configuration, 0.0) for k, p in enumerate(proposals)]
        proposals.append(next_proposal(searcher, space, history, trial=trial, seed=0))
    assert [p.source for p in proposals] == ["known_good", "known_good", "searcher"]
    assert tuple(p.configuration for p in proposals[:2]) == known


def test_a_portfolio_follows_without_what_was_tried_already() -> None:
    known = {"x": 0.25, "y": 0.5}
    fresh = [{"x": 0.1, "y": 0.1}, {"x": 0.2, "y": 0.2}]
    space = square(known_good=(known,))
    earlier = Earlier(portfolio=(known, fresh[0], dict(fresh[0]), fresh[1]))
    records: list[TrialRecord] = []
    sources = []
    for trial in range(4):
        proposal = next_proposal(
            make_searcher("random"),
            space,
            records,
            trial=trial,
            seed=0,
            earlier=earlier,
        )
        sources.append(proposal.source)
        records.append(finished(trial, proposal.configuration, 0.1))
    assert sources == ["known_good", "portfolio", "portfolio", "searcher"]
    assert [r.configuration for r in records[:3]] == [known, *fresh]


@dataclass(frozen=True)
class _Stubborn:
    """Proposes one configuration for ever."""

    flat: Mapping[str, Value] = field(default_factory=lambda: {"n": 1})

    def propose(self, *_: object, **__: object) -> dict[str, Value]:
        return dict(self.flat)


FEW = toy_space(
    kind={"type": "choice", "values": [None, True, 1]},
    n={"type": "integer", "low": 1, "high": 4},
    m={
        "type": "integer",
        "low": 1,
        "high": 4,
        "when": [{"parameter": "kind", "operator": "equals", "operands": [True]}],
    },
).model_copy(update={"constraints": ("n + m <= 7.5",)})


def test_a_duplicate_is_replaced_by_one_that_was_never_tried() -> None:
    space = toy_space(n={"type": "integer", "low": 1, "high": 3})
    history = [
        finished(0, {"n": 1}, 0.1),
        TrialRecord(1, {"n": 2}, running=True, target_epoch=1),
    ]
    for trial in range(2, 12):
        proposal = next_proposal(_Stubborn(), space, history, trial=trial, seed=0)
        assert proposal.configuration == {"n": 3}
        again = next_proposal(_Stubborn(), space, history, trial=trial, seed=0)
        assert again == proposal


def test_an_exhausted_space_repeats_itself_instead_of_hanging() -> None:
    space = toy_space(n={"type": "integer", "low": 1, "high": 2})
    history = [finished(k, {"n": 1 + k}, 0.1) for k in range(2)]
    proposal = next_proposal(_Stubborn(), space, history, trial=2, seed=0)
    assert proposal.configuration["n"] in {1, 2}
    assert is_exhausted(space, history)
    assert not is_exhausted(space, [history[0], replace(history[0], number=1)])


def test_the_last_configurations_of_a_large_space_are_found_one_by_one() -> None:
    """Fifty random replacements would miss them nearly always."""
    space = toy_space(n={"type": "integer", "low": 1, "high": 5000})
    history = [finished(k, {"n": 1 + k}, 0.1) for k in range(4997)]
    found = []
    for trial in range(4997, 5000):
        assert not is_exhausted(space, history)
        proposal = next_proposal(_Stubborn(), space, history, trial=trial, seed=0)
        assert proposal == next_proposal(
            _Stubborn(), space, history, trial=trial, seed=0
        )
        found.append(proposal.configuration["n"])
        history.append(finished(trial, proposal.configuration, 0.1))
    assert sorted(found) == [4998, 4999, 5000]
    assert is_exhausted(space, history)
    others = {
        next_proposal(
            _Stubborn(), space, history[:4997], trial=4997, seed=seed
        ).configuration["n"]
        for seed in range(20)
    }
    assert others == {4998, 4999, 5000}, "the seed decides"


@pytest.mark.parametrize("name", ["gaussian", "hyperopt", "random"])
def test_a_small_space_is_tried_to_its_end_without_a_repeat(name: str) -> None:
    space, searcher = FEW, make_searcher(name, startup_trials=5)
    records: list[TrialRecord] = []
    while not is_exhausted(space, records):
        trial = len(records)
        flat = next_proposal(searcher, space, records, trial=trial, seed=1)
        value = float(flat.configuration["n"] or 0) + float(trial % 3)
        records.append(finished(trial, flat.configuration, value))
    assert len(records) == 4 + 4 + 15
    assert {identity(r.configuration) for r in records} == {
        identity(flat) for flat in space.every_configuration or ()
    }


def test_a_space_with_a_continuous_parameter_is_never_exhausted() -> None:
    space = toy_space(
        n={"type": "integer", "low": 1, "high": 2},
        x={
            "type": "float",
            "low": 0.0,
            "high": 1.0,
            "when": [{"parameter": "n", "operator": "equals", "operands": [2]}],
        },
    )
    history = [finished(k, {"n": 1, "x": None}, 0.1) for k in range(3)]
    assert not is_exhausted(space, history)


def test_a_duplicate_in_a_continuous_space_is_replaced_by_random_ones_alone() -> None:
    space = toy_space(x={"type": "float", "low": 0.0, "high": 1.0})
    stubborn = _Stubborn({"x": 0.5})
    drawn = generator(0, 700, 1)
    expected = [space.sample(drawn) for _ in range(MAX_REPLACEMENTS)]
    one = [finished(0, {"x": 0.5}, 0.1)]
    first = next_proposal(stubborn, space, one, trial=700, seed=0)
    assert first.configuration == expected[0]
    covered = [finished(k, {"x": k / 700}, 0.1) for k in range(701)]
    last = next_proposal(stubborn, space, covered, trial=700, seed=0)
    assert last.configuration == expected[-1]
