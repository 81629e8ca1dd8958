"""Searchers keep their contract; TPE learns from the keys that a trial has."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from support.searcher_contract import (
    CONDITIONAL,
    ModelBasedSearcherContract,
    SearcherContract,
    history_of,
)
from support.simulated_study import SimulatedStudy, finished, square, toy_space

from search.engine.schedulers import FullTraining
from search.engine.searchers import (
    SEARCHERS,
    Earlier,
    Searcher,
    hyperopt_tpe,
    make_searcher,
    next_proposal,
)
from search.engine.searchers.hyperopt_tpe import (
    HyperoptSearcher,
    _misc,
    compile_space,
)
from search.engine.searchers.protocol import NO_EARLIER
from search.engine.searchers.told import (
    tell,
)
from search.journal.records import TrialRecord
from search.space import Space, Value, load_space
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
