"""A conductor after an edit of the study: what its searcher hears of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from support.conducted_study import Bench

from search.engine.searchers import NO_EARLIER, Earlier
from search.engine.searchers.random import RandomSearcher
from search.journal import SetAside, StudyEdited, StudyState, TrialRecord
from search.space import Space, Value
from search.trial.outcome import Outcome


class Listening:
    """A random searcher that remembers which trials it was told of."""

    def __init__(self) -> None:
        self.heard: list[list[int]] = []

    def propose(
        self,
        space: Space,
        history: Sequence[TrialRecord],
        *,
        trial: int,
        seed: int,
        earlier: Earlier = NO_EARLIER,
    ) -> dict[str, Value]:
        self.heard.append([record.number for record in history])
        return RandomSearcher().propose(
            space, history, trial=trial, seed=seed, earlier=earlier
        )


def test_trials_outside_are_not_told_and_keep_their_share_of_the_budget(
    tmp_path: Path,
) -> None:
    searcher = Listening()
    bench = Bench(tmp_path, searcher=searcher, rules={"trials": 3})
    best = bench.session().best
    assert best is not None
    words = SetAside(reason="narrowed", configuration={"x": 0.0})
    edited = StudyEdited(
        study_digest="s2", space_digest="p2", set_aside={best.number: words}
    )
    bench.journal().append(edited)
    state = replace(bench, rules={"trials": 5}).session()
    kept = [n for n in range(3) if n != best.number]
    assert searcher.heard[3:] == [kept, [*kept, 3]]
    assert len(state.trials) == 5
    assert state.trials[best.number].outcome is Outcome.OUTSIDE
    assert state.best is not None
    assert state.best.number != best.number
    assert StudyState.read(bench.journal().path) == state
