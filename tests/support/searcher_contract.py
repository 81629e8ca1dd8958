"""What every searcher must do; a test class for one inherits `SearcherContract`."""

import math
import random
from dataclasses import replace

import numpy as np
from support.simulated_study import SimulatedStudy, finished, square, toy_space

from search.engine.schedulers import FullTraining
from search.engine.searchers import Searcher, next_proposal
from search.engine.searchers.duplicates import Neighbourhood
from search.journal.records import TrialRecord
from search.space.space import Space
from search.trial.outcome import Outcome

CONDITIONAL = toy_space(
    depth={"type": "integer", "low": 0, "high": 3},
    width={
        "type": "integer",
        "low": 32,
        "high": 256,
        "when": [{"parameter": "depth", "operator": "at_least", "operands": [1]}],
    },
    rate={"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    kind={"type": "choice", "values": ["a", "b", None, True, 1]},
)


def history_of(
    space: Space, n: int, *, outcome: Outcome = Outcome.COMPLETED, seed: int = 7
) -> list[TrialRecord]:
    """Random finished trials; those of a failed outcome have no value."""
    numbers = np.random.default_rng(seed)
    good = outcome is Outcome.COMPLETED
    return [
        finished(
            k,
            space.sample(numbers),
            float(numbers.random()) if good else None,
            outcome=outcome,
        )
        for k in range(n)
    ]


class SearcherContract:
    """Derive from it and override `searcher`."""

    def searcher(self) -> Searcher:
        raise NotImplementedError

    def test_proposals_are_valid_configurations_of_the_space(self) -> None:
        history = history_of(CONDITIONAL, 30)
        for trial in range(30, 60):
            flat = self.searcher().propose(CONDITIONAL, history, trial=trial, seed=1)
            assert CONDITIONAL.faults(flat) == {}
            assert (flat["width"] is None) == (flat["depth"] == 0)
            assert type(flat["depth"]) is int
            assert type(flat["rate"]) is float

    def test_an_empty_history_is_enough_to_propose(self) -> None:
        for trial in (0, 5, 500):
            flat = self.searcher().propose(CONDITIONAL, [], trial=trial, seed=0)
            assert CONDITIONAL.faults(flat) == {}

    def test_equal_histories_give_equal_proposals(self) -> None:
        history = history_of(CONDITIONAL, 40)
        used = self.searcher()
        used.propose(CONDITIONAL, history[:30], trial=30, seed=3)
        first = used.propose(CONDITIONAL, history, trial=40, seed=3)
        again = self.searcher().propose(
            CONDITIONAL, [replace(r) for r in history], trial=40, seed=3
        )
        assert first == again

    def test_trials_and_seeds_differ(self) -> None:
        history = history_of(CONDITIONAL, 30)
        proposals = {
            self.searcher().propose(CONDITIONAL, history, trial=t, seed=s)["rate"]
            for t in (30, 31)
            for s in (0, 1)
        }
        assert len(proposals) == 4

    def test_histories_of_failures_alone_are_survived(self) -> None:
        for outcome in Outcome:
            if outcome.is_finished:
                continue
            history = history_of(CONDITIONAL, 25, outcome=outcome)
            flat = self.searcher().propose(CONDITIONAL, history, trial=25, seed=0)
            assert CONDITIONAL.faults(flat) == {}

    def test_values_that_are_not_finite_are_survived(self) -> None:
        history = history_of(CONDITIONAL, 30)
        for k, value in enumerate((math.nan, math.inf, -math.inf)):
            history[k] = replace(history[k], rung_values={10: value})
        flat = self.searcher().propose(CONDITIONAL, history, trial=30, seed=0)
        assert CONDITIONAL.faults(flat) == {}

    def test_running_trials_are_survived(self) -> None:
        history = history_of(CONDITIONAL, 25)
        history += [
            TrialRecord(25 + k, r.configuration, running=True, target_epoch=10)
            for k, r in enumerate(history_of(CONDITIONAL, 8, seed=8))
        ]
        flat = self.searcher().propose(CONDITIONAL, history, trial=33, seed=0)
        assert CONDITIONAL.faults(flat) == {}

    def test_no_global_random_number_is_used(self) -> None:
        history = history_of(CONDITIONAL, 30)
        before = _global_states()
        self.searcher().propose(CONDITIONAL, history, trial=30, seed=0)
        assert _global_states() == before

    def test_the_history_is_not_changed(self) -> None:
        history = history_of(CONDITIONAL, 30)
        copies = [replace(r, configuration=dict(r.configuration)) for r in history]
        self.searcher().propose(CONDITIONAL, history, trial=30, seed=0)
        assert history == copies

    def test_trials_that_are_running_are_not_proposed_again(self) -> None:
        space = square()
        history = history_of(space, 20)
        for trial in range(20, 28):
            proposal = next_proposal(
                self.searcher(), space, history, trial=trial, seed=0
            )
            flat = proposal.configuration
            known = [r.configuration for r in history]
            assert not Neighbourhood.of(space, flat).meets(known)
            history.append(TrialRecord(trial, flat, running=True, target_epoch=10))


def _global_states() -> tuple[object, object]:
    numbers = np.random.get_state()  # noqa: NPY002 - the state that must not move
    return random.getstate(), numbers[1].tolist()


class ModelBasedSearcherContract(SearcherContract):
    """For searchers that learn from the history."""

    def test_it_beats_random_on_a_smooth_function(self) -> None:
        def best(searcher: Searcher, seed: int) -> float:
            study = SimulatedStudy(
                square(),
                lambda flat, _: (flat["x"] - 0.3) ** 2 + (flat["y"] - 0.7) ** 2,
                searcher,
                FullTraining(1),
                seed=seed,
            )
            records = study.run(trials=50)
            return min(r.rung_values[1] for r in records)

        from search.engine.searchers import make_searcher

        ours = np.array([best(self.searcher(), seed) for seed in range(10)])
        random = np.array([best(make_searcher("random"), seed) for seed in range(10)])
        assert np.median(ours) < 0.5 * np.median(random)
        assert np.log(ours).mean() < np.log(random).mean() - 0.5

    def test_a_failing_half_is_avoided_when_failures_are_told(self) -> None:
        """The optimum lies at the border of the failing half."""

        def share_of_failures(*, told: bool) -> float:
            shares = []
            for seed in range(5):
                records = self._run_beside_a_failing_half(seed, told=told)
                late = [r.configuration["x"] > 0.5 for r in records[30:]]
                shares.append(np.mean(late))
            return float(np.mean(shares))

        penalised, dropped = share_of_failures(told=True), share_of_failures(told=False)
        assert penalised < 0.5
        assert penalised < dropped - 0.2

    def _run_beside_a_failing_half(self, seed: int, *, told: bool) -> list[TrialRecord]:
        space, searcher = square(), self.searcher()
        records: list[TrialRecord] = []
        for trial in range(60):
            known = [r for r in records if told or r.outcome is Outcome.COMPLETED]
            flat = searcher.propose(space, known, trial=trial, seed=seed)
            fails = flat["x"] > 0.5
            value = None if fails else 0.5 - flat["x"] + (flat["y"] - 0.5) ** 2
            outcome = Outcome.FAILED_OOM if fails else Outcome.COMPLETED
            records.append(finished(trial, flat, value, outcome=outcome))
        return records
