"""Searchers keep their contract; TPE learns from one rung and active keys alone."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from support.searcher_contract import (
    CONDITIONAL,
    ModelBasedSearcherContract,
    SearcherContract,
    history_of,
)
from support.simulated_study import SimulatedStudy, finished, square, toy_space
from threadpoolctl import threadpool_info, threadpool_limits

from search.engine.schedulers import FullTraining
from search.engine.searchers import (
    SEARCHERS,
    Earlier,
    Proposal,
    Searcher,
    gaussian,
    hyperopt_tpe,
    is_exhausted,
    make_searcher,
    next_proposal,
)
from search.engine.searchers.gaussian_process import fit_hyperparameters
from search.engine.searchers.hyperopt_tpe import (
    HyperoptSearcher,
    _misc,
    compile_space,
)
from search.engine.searchers.proposal import MAX_REPLACEMENTS
from search.engine.searchers.protocol import NO_EARLIER, generator
from search.engine.searchers.told import (
    MAX_TOLD,
    modelled_rung,
    tell,
    tell_places,
)
from search.journal.records import TrialRecord
from search.space import Space, Value, load_space
from search.space.values import identity
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError


class TestRandom(SearcherContract):
    def searcher(self) -> Searcher:
        return make_searcher("random")


class TestHyperopt(ModelBasedSearcherContract):
    def searcher(self) -> Searcher:
        return make_searcher("hyperopt", startup_trials=10)


class TestGaussian(ModelBasedSearcherContract):
    def searcher(self) -> Searcher:
        return make_searcher("gaussian")


class TestOptuna(ModelBasedSearcherContract):
    def searcher(self) -> Searcher:
        return make_searcher("optuna", startup_trials=10)


def test_an_unknown_searcher_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'hyperop'; did you mean 'hyperopt'\?"):
        make_searcher("hyperop")
    for name in SEARCHERS:
        assert make_searcher(name) is not None


# What is told ------------------------------------------------------------------------


def test_only_values_of_one_rung_are_told() -> None:
    space = square()
    numbers = np.random.default_rng(0)
    shallow = [finished(k, space.sample(numbers), 0.1, epoch=3) for k in range(9)]
    deep = [
        replace(finished(9 + k, space.sample(numbers), 0.5, epoch=9), rung_values=v)
        for k, v in enumerate([{3: 0.7, 9: 0.5}] * 3)
    ]
    assert modelled_rung(shallow + deep[:2], n_parameters=2) == 3
    assert modelled_rung(shallow + deep, n_parameters=2) == 9
    assert [t.loss for t in tell(shallow + deep, 2)] == [0.5] * 3
    assert [t.loss for t in tell(shallow + deep[:2], 2)] == [0.1] * 9 + [0.7] * 2


def test_places_go_by_depth_and_then_by_value() -> None:
    flat = {"x": 0.5, "y": 0.5}
    history = [
        finished(0, flat, 0.1, epoch=3, outcome=None),
        finished(1, flat, 0.9, epoch=9),
        finished(2, flat, 0.2, epoch=3, outcome=Outcome.STOPPED),
        finished(3, flat, 0.01, epoch=9, outcome=Outcome.FAILED_NAN),
        finished(4, flat, 0.01, epoch=9, outcome=Outcome.FAILED_DATA),
        TrialRecord(5, flat, running=True, target_epoch=3),
    ]
    told = {t.record.number: t.loss for t in tell_places(history)}
    assert sorted(told, key=lambda n: (told[n], n)) == [1, 0, 2, 3, 5]
    assert told[1] == 0
    assert told[3] == told[5] == 1
    assert tell_places([history[3], history[5]]) == []


def test_without_rungs_hyperopt_proposes_by_places_what_it_does_by_values() -> None:
    space, searcher = square(), HyperoptSearcher(startup_trials=0)
    numbers = np.random.default_rng(0)
    values = [*numbers.random(30).tolist(), None]
    history = [
        finished(
            k,
            space.sample(numbers),
            value,
            outcome=Outcome.COMPLETED if value is not None else Outcome.FAILED_OOM,
        )
        for k, value in enumerate(values)
    ]
    proposed = searcher.propose(space, history, trial=31, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hyperopt_tpe, "tell_places", lambda records: tell(records, 2))
        assert searcher.propose(space, history, trial=31, seed=0) == proposed


def test_what_hyperopt_keeps_between_calls_changes_no_proposal() -> None:
    """Another space and another study are not mistaken for the one before."""
    numbers = np.random.default_rng(0)
    kept = HyperoptSearcher(startup_trials=0)
    for space in (
        square(),
        square(),
        toy_space(x={"type": "integer", "low": 0, "high": 9}),
    ):
        flats = [space.sample(numbers) for _ in range(25)]
        history = [finished(k, flat, float(k % 7)) for k, flat in enumerate(flats)]
        for trial in (25, 26):
            fresh = HyperoptSearcher(startup_trials=0)
            expected = fresh.propose(space, history, trial=trial, seed=1)
            assert kept.propose(space, history, trial=trial, seed=1) == expected


def test_the_model_of_a_proposal_uses_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More are slower, and sum in another order on a machine with other cores."""
    seen: list[int] = []

    def threads(features: object, owners: object, scores: object) -> object:
        blas = [p for p in threadpool_info() if p["user_api"] == "blas"]
        seen.extend(pool["num_threads"] for pool in blas)
        return fit_hyperparameters(features, owners, scores)  # type: ignore[arg-type]

    monkeypatch.setattr(gaussian, "fit_hyperparameters", threads)
    space, numbers = square(), np.random.default_rng(0)
    history = [finished(k, space.sample(numbers), float(k)) for k in range(12)]
    with threadpool_limits(2, user_api="blas"):
        make_searcher("gaussian").propose(space, history, trial=12, seed=0)
    assert seen
    assert set(seen) == {1}


def test_a_rung_with_most_values_is_modelled_while_none_has_enough() -> None:
    space = square()
    flat = space.sample(np.random.default_rng(0))
    history = [
        finished(0, flat, 0.3, epoch=3),
        finished(1, flat, 0.3, epoch=3),
        finished(2, flat, 0.3, epoch=9),
    ]
    assert modelled_rung(history, n_parameters=20) == 3
    assert modelled_rung(history[1:], n_parameters=20) == 9
    assert modelled_rung([], n_parameters=20) is None


@pytest.mark.parametrize(
    ("outcome", "loss"),
    [
        (Outcome.FAILED_OOM, 5.0),
        (Outcome.FAILED_NAN, 5.0),
        (Outcome.FAILED_TIMEOUT, 5.0),
        (Outcome.FAILED_CONFIGURATION, 5.0),
        (Outcome.FAILED_EXCEPTION, 5.0),
        (Outcome.FAILED_LOST_WORKER, 5.0),
        (Outcome.FAILED_DATA, None),
        (Outcome.CANCELLED, 0.01),
        (Outcome.STOPPED, 0.01),
    ],
)
def test_each_outcome_is_told_as_it_says(outcome: Outcome, loss: float | None) -> None:
    """The rung value 0.01 that a failed trial reached before it failed is not used."""
    flat = {"x": 0.5, "y": 0.5}
    history = [
        finished(0, flat, 1.0),
        finished(1, flat, 3.0),
        finished(2, flat, 0.01, outcome=outcome),
    ]
    losses = {t.record.number: t.loss for t in tell(history, 2)}
    assert losses.get(2) == loss


def test_a_penalty_is_above_equal_values_and_never_infinite() -> None:
    flat = {"x": 0.5, "y": 0.5}
    for value in (0.0, 2.0):
        failed = finished(2, flat, None, outcome=Outcome.FAILED_NAN)
        losses = [t.loss for t in tell([finished(0, flat, value), failed], 2)]
        assert losses[1] > losses[0]
        assert np.isfinite(losses).all()


def test_running_trials_are_told_as_the_worst_and_waiting_ones_not_at_all() -> None:
    flat = {"x": 0.5, "y": 0.5}
    history = [
        finished(0, flat, 1.0),
        finished(1, flat, 3.0),
        TrialRecord(2, flat, running=True, target_epoch=10),
        TrialRecord(3, flat, last_epoch=4, target_epoch=10),
    ]
    assert {t.record.number: t.loss for t in tell(history, 2)} == {0: 1, 1: 3, 2: 3}


def test_a_long_history_is_cut_to_the_best_and_the_newest() -> None:
    """In both ways of telling."""
    flat = {"x": 0.5, "y": 0.5}
    n = MAX_TOLD + 300
    history = [finished(k, flat, float(k)) for k in range(n)]
    for told in (tell(history, 2), tell_places(history)):
        numbers = [t.record.number for t in told]
        assert len(numbers) == MAX_TOLD
        assert numbers == sorted(numbers)
        assert numbers[:50] == list(range(50))
        assert numbers[50:] == list(range(350, n))


# TPE ---------------------------------------------------------------------------------


def test_a_trial_lists_no_value_for_an_inactive_parameter() -> None:
    """A value listed there would enter the density of the parameter."""
    flat = {"depth": 0, "width": None, "rate": 1e-3, "kind": 1}
    misc = _misc(CONDITIONAL, 7, flat)
    assert misc["vals"] == {"depth": [0.0], "width": [], "rate": [1e-3], "kind": [4]}
    assert misc["idxs"] == {"depth": [7], "width": [], "rate": [7], "kind": [7]}
    wide = flat | {"depth": 1, "width": 40}
    misc = _misc(CONDITIONAL, 7, wide)
    assert misc["vals"]["width"] == [40.0]


def test_tpe_learns_a_conditional_parameter_from_the_trials_that_have_it() -> None:
    numbers = np.random.default_rng(0)
    history = []
    for k in range(60):
        flat = CONDITIONAL.sample(numbers)
        far = 1.0 if flat["width"] is None else abs(flat["width"] - 250) / 250
        history.append(finished(k, flat, far))
    searcher = HyperoptSearcher(startup_trials=0)
    flats = [
        searcher.propose(CONDITIONAL, history, trial=60 + k, seed=0) for k in range(40)
    ]
    widths = [flat["width"] for flat in flats if flat["width"] is not None]
    assert len(widths) >= 20
    assert np.median(widths) > 210


def test_every_integer_of_the_compiled_space_is_equally_likely() -> None:
    space = toy_space(n={"type": "integer", "low": 1, "high": 4})
    domain = compile_space(space)
    (label,) = domain.params.values()
    low, high = (arg.obj for arg in label.pos_args)
    assert (low, high) == (0.5, 4.5)
    parameter = space.parameters["n"]
    raws = np.linspace(low, high, 4001)[:-1]
    values, counts = np.unique(
        [parameter.from_raw(raw) for raw in raws], return_counts=True
    )
    assert values.tolist() == [1, 2, 3, 4]
    assert counts.max() - counts.min() <= 1


def test_startup_trials_are_random_whatever_the_history() -> None:
    space, searcher = square(), HyperoptSearcher(startup_trials=20)
    other = make_searcher("random")
    history = history_of(space, 19)
    assert searcher.propose(space, history, trial=19, seed=4) == other.propose(
        space, [], trial=19, seed=4
    )
    history = history_of(space, 20)
    assert searcher.propose(space, history, trial=20, seed=4) != other.propose(
        space, [], trial=20, seed=4
    )


@pytest.mark.parametrize("name", ["hyperopt", "gaussian"])
def test_the_border_of_what_is_allowed_is_searched_and_not_left_to_chance(
    name: str,
) -> None:
    """The best allowed point lies on a constraint; beyond it the objective falls."""
    space = square(constraints=("x + y <= 1",))
    searcher = make_searcher(name, startup_trials=15)
    asked: list[bool] = []

    class Watched:
        def propose(
            self,
            space: Space,
            history: Sequence[TrialRecord],
            *,
            trial: int,
            seed: int,
            earlier: Earlier = NO_EARLIER,
        ) -> dict[str, Value]:
            flat = searcher.propose(
                space, history, trial=trial, seed=seed, earlier=earlier
            )
            asked.append(space.allows(flat))
            return flat

    def bowl(flat: Mapping[str, Value], _epoch: int) -> float:
        return sum((float(str(flat[axis])) - 0.6) ** 2 for axis in "xy")

    study = SimulatedStudy(space, bowl, Watched(), FullTraining(9))
    records = study.run(trials=40)
    assert sum(asked) >= 0.9 * len(asked)
    assert min(r.rung_values[9] for r in records) < 0.03


def test_another_space_is_compiled_anew_by_the_same_searcher() -> None:
    searcher = HyperoptSearcher(startup_trials=0)
    wide = square()
    narrow = toy_space(
        x={"type": "float", "low": 0.0, "high": 0.1},
        y={"type": "float", "low": 0.0, "high": 0.1},
    )
    searcher.propose(wide, history_of(wide, 10), trial=10, seed=0)
    flat = searcher.propose(narrow, history_of(narrow, 10), trial=10, seed=0)
    assert narrow.faults(flat) == {}


@pytest.mark.parametrize("name", ["gaussian", "hyperopt"])
def test_a_proposal_on_table1_at_200_trials_is_fast(name: str) -> None:
    """About 0.02 s where this was written; a graph rebuilt per trial takes seconds."""
    space = load_space("sitenet/table1_2023")
    known = space.resolve(space.known_good[0])
    history = [finished(0, known, 0.5), *history_of(space, 200)[1:]]
    searcher = make_searcher(name)
    seconds = []
    for trial in range(200, 211):
        begin = time.process_time()
        proposal = next_proposal(searcher, space, history, trial=trial, seed=0)
        seconds.append(time.process_time() - begin)
        assert proposal.source == "searcher"
    assert np.median(seconds) < 0.15


# Known-good first, no duplicates -----------------------------------------------------


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
