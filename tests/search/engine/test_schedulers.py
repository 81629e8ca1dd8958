"""Schedulers: Algorithm 2 of ASHA by hand, ties, NaN, interruptions, whole studies."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.simulated_study import SimulatedStudy, best_value, square

from search.engine.schedulers import (
    Asha,
    Continue,
    FullTraining,
    NewTrial,
    Scheduler,
    StoppingAsha,
    asha,
    make_scheduler,
)
from search.engine.searchers import make_searcher
from search.journal.records import TrialRecord
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError


def waiting(number: int, *values: float, rungs: tuple[int, ...]) -> TrialRecord:
    """A trial that has reached one rung per value and waits there."""
    reached = dict(zip(rungs, values, strict=False))
    last = max(reached)
    return TrialRecord(
        number, {}, rung_values=reached, last_epoch=last, target_epoch=last
    )


# Rungs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "min_epochs", "eta", "rungs"),
    [
        (27, 1, 3, (1, 3, 9, 27)),
        (30, 3, 3, (3, 9, 30)),
        (52, 2, 3, (2, 6, 18, 52)),
        (10, 10, 3, (10,)),
        (6, 2, 3, (2, 6)),
        (100, 10, 2, (10, 20, 40, 100)),
        (1, 1, 3, (1,)),
    ],
)
def test_rungs_grow_by_eta_and_end_with_a_full_trial(
    epochs: int, min_epochs: int, eta: int, rungs: tuple[int, ...]
) -> None:
    assert Asha(epochs=epochs, min_epochs=min_epochs, eta=eta).rungs == rungs


@settings(deadline=None)
@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(2, 6))
def test_rungs_ascend_and_hold_both_ends(first: int, second: int, eta: int) -> None:
    low, high = sorted((first, second))
    rungs = Asha(epochs=high, min_epochs=low, eta=eta).rungs
    assert rungs == tuple(sorted(set(rungs)))
    assert rungs[-1] == high
    assert rungs[0] == low or low * math.sqrt(eta) > high


def test_rungs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="min_epochs 31 must lie between 1 and the 30"
    ):
        make_scheduler("asha", epochs=30, min_epochs=31)
    with pytest.raises(ConfigError, match="min_epochs 0"):
        make_scheduler("asha", epochs=30, min_epochs=0)
    with pytest.raises(ConfigError, match="eta 1 must be 2 or more"):
        make_scheduler("asha", epochs=30, min_epochs=1, eta=1)
    with pytest.raises(ConfigError, match=r"'ahsa'; did you mean 'asha'\?"):
        make_scheduler("ahsa", epochs=30)
    with pytest.raises(ConfigError, match="unknown mode 'stoping' of asha; did you"):
        make_scheduler("asha", epochs=30, mode="stoping")


# None --------------------------------------------------------------------------------


def test_without_a_scheduler_every_trial_is_new_and_full() -> None:
    scheduler = make_scheduler("none", epochs=30)
    assert scheduler.rungs == (30,)
    assert scheduler.next_segment([]) == NewTrial(30)
    assert scheduler.next_segment([], may_create=False) is None


# ASHA by hand ------------------------------------------------------------------------

ASHA = Asha(epochs=9, min_epochs=1, eta=3)


def at(*trials: tuple[float, ...]) -> list[TrialRecord]:
    return [waiting(k, *values, rungs=ASHA.rungs) for k, values in enumerate(trials)]


def test_a_rung_of_fewer_than_eta_promotes_nobody() -> None:
    assert ASHA.next_segment([]) == NewTrial(1)
    assert ASHA.next_segment(at((0.5,), (0.4,))) == NewTrial(1)


def test_the_best_third_is_promoted() -> None:
    assert ASHA.next_segment(at((0.5,), (0.4,), (0.6,))) == Continue(1, 3)
    assert ASHA.next_segment(at((0.5,), (0.4, 0.3), (0.6,))) == NewTrial(1)


def test_a_promoted_trial_keeps_its_place_in_the_rung_below() -> None:
    """Six at rung 1, two places; one of them is taken by a promoted trial."""
    records = at((0.1, 0.1), (0.2,), (0.3,), (0.4,), (0.5,), (0.6,))
    assert ASHA.next_segment(records) == Continue(1, 3)
    records[1] = replace(records[1], running=True, target_epoch=3)
    assert ASHA.next_segment(records) == NewTrial(1)


def test_deeper_rungs_are_served_first() -> None:
    records = at((0.1, 0.3), (0.2, 0.1), (0.3, 0.2), *[(0.25,)] * 6, (0.05,))
    assert ASHA.next_segment(records) == Continue(1, 9)
    records[1] = replace(records[1], running=True, target_epoch=9)
    assert ASHA.next_segment(records) == Continue(9, 3)


def on_the_way(number: int, rung: int, *values: float) -> TrialRecord:
    before = waiting(number, *values, rungs=ASHA.rungs) if values else None
    record = before or TrialRecord(number, {})
    return replace(record, running=True, target_epoch=rung)


@pytest.mark.parametrize(("there", "expected"), [(3, NewTrial(1)), (5, Continue(0, 3))])
def test_a_promotion_would_stand_if_all_on_their_way_were_better(
    there: int, expected: NewTrial | Continue
) -> None:
    """With one on its way the best of five would be second of six, and two go on."""
    values = [(0.1 * (k + 1),) for k in range(there)]
    records = [*at(*values), on_the_way(there, 1)]
    assert ASHA.next_segment(records) == expected
    assert ASHA.next_segment(records[:-1]) == Continue(0, 3)


def test_those_on_their_way_to_another_rung_hold_nobody_back() -> None:
    records = at((0.3,), (0.2,), (0.4,), (0.5,), (0.6,), (0.7,))
    records += [on_the_way(6, 9, 0.1, 0.1), on_the_way(7, 3, 0.8)]
    assert ASHA.next_segment(records) == Continue(1, 3)


def test_nobody_waits_for_others_once_no_trial_may_be_created() -> None:
    records = [*at((0.5,), (0.4,), (0.6,)), on_the_way(3, 1), on_the_way(4, 1)]
    assert ASHA.next_segment(records) == NewTrial(1)
    assert ASHA.next_segment(records, may_create=False) == Continue(1, 3)


def test_ties_go_to_the_lower_number_whatever_the_order_of_the_records() -> None:
    records = at((0.4,), (0.4,), (0.4,))
    assert ASHA.next_segment(records) == Continue(0, 3)
    assert ASHA.next_segment(records[::-1]) == Continue(0, 3)


def test_nan_and_infinity_have_no_place_in_a_rung() -> None:
    assert ASHA.next_segment(at((math.nan,), (-math.inf,), (0.1,))) == NewTrial(1)
    records = at((math.nan,), (0.2,), (0.1,), (0.3,), (-math.inf,))
    assert ASHA.next_segment(records) == Continue(2, 3)


def test_failed_and_cancelled_trials_are_not_promoted() -> None:
    records = at((0.1,), (0.2,), (0.3,))
    for outcome in (Outcome.FAILED_NAN, Outcome.CANCELLED, Outcome.STOPPED):
        records[0] = replace(records[0], outcome=outcome)
        assert ASHA.next_segment(records) == NewTrial(1)


def test_a_full_trial_is_never_continued() -> None:
    records = [
        replace(r, outcome=Outcome.COMPLETED) for r in at(*[(0.1, 0.1, 0.1)] * 9)
    ]
    assert ASHA.next_segment(records, may_create=False) is None


@pytest.mark.parametrize(
    "scheduler",
    [ASHA, FullTraining(9), StoppingAsha(epochs=9, min_epochs=1, eta=3)],
)
def test_interrupted_trials_go_on_before_anything_else(scheduler: Scheduler) -> None:
    records = [
        TrialRecord(0, {}, running=True, target_epoch=9),
        TrialRecord(1, {}, last_epoch=5, target_epoch=9),
        TrialRecord(2, {}),
    ]
    for may_create in (True, False):
        decision = scheduler.next_segment(records, may_create=may_create)
        assert decision == Continue(1, 9)
    first = scheduler.next_segment(records[2:], may_create=False)
    assert first == Continue(2, scheduler.rungs[0])


def test_a_promotion_that_was_cut_off_before_its_first_epoch_is_taken_up() -> None:
    """Better trials have arrived since, but the promotion was handed out already."""
    records = at((0.5,), (0.1,), (0.2,), (0.6,))
    records[0] = replace(records[0], target_epoch=3)
    assert ASHA.next_segment(records) == Continue(0, 3)


def test_a_small_study_still_ends_with_a_full_trial() -> None:
    records = at((0.5,), (0.4,))
    assert ASHA.next_segment(records, may_create=False) == Continue(1, 3)
    records[0] = replace(records[0], running=True, target_epoch=3)
    assert ASHA.next_segment(records, may_create=False) is None


# Who keeps a checkpoint --------------------------------------------------------------


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small studies stand for large ones."""
    monkeypatch.setattr(asha, "LEAST_TRIALS", 0)


def test_in_a_small_study_every_waiting_trial_has_a_prospect() -> None:
    records = at(*[(0.01 * k,) for k in range(51)])
    assert ASHA.without_prospect(records[:33], None) == ()
    assert ASHA.without_prospect(records[:34], None) == (33,)
    assert ASHA.without_prospect(records[:40], 60) == ()


@pytest.mark.usefixtures("any_size")
def test_who_would_not_be_promoted_in_a_study_twice_as_large_has_no_prospect() -> None:
    records = at(*[(0.1 * k,) for k in range(1, 10)])
    # Twice nine trials have six places beyond the first rung, twice 27 have eighteen.
    assert ASHA.without_prospect(records, 9) == (6, 7, 8)
    assert ASHA.without_prospect(records, None) == (6, 7, 8)
    assert ASHA.without_prospect(records, 27) == ()
    assert ASHA.without_prospect(records, 5) == (6, 7, 8), "there are nine already"


@pytest.mark.usefixtures("any_size")
def test_the_best_of_a_rung_and_those_that_run_are_never_without_prospect() -> None:
    assert ASHA.without_prospect(at((0.5,)), 1) == ()
    records = at((0.1, 0.1), (0.2, 0.2), (0.3,))
    assert ASHA.without_prospect(records, 3) == (2, 1), "two places, then one"
    records[1] = replace(records[1], running=True, target_epoch=9)
    assert ASHA.without_prospect(records, 3) == (2,)


@pytest.mark.usefixtures("any_size")
def test_a_failed_trial_takes_nobody_elses_place() -> None:
    records = at((0.1,), (0.2,), (0.3,))
    assert ASHA.without_prospect(records, 3) == (2,)
    records[0] = replace(records[0], outcome=Outcome.FAILED_NAN)
    assert ASHA.without_prospect(records, 3) == ()


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=160),
    trials=st.integers(30, 160),
    eta=st.integers(2, 4),
)
def test_whoever_is_without_prospect_is_not_promoted_within_the_budget(
    values: list[float], trials: int, eta: int
) -> None:
    """All trials of the budget reach the first rung, one after another."""
    scheduler = Asha(epochs=eta**2, min_epochs=1, eta=eta)
    gone: set[int] = set()
    for n in range(1, len(values[:trials]) + 1):
        records = [waiting(k, value, rungs=(1,)) for k, value in enumerate(values[:n])]
        gone |= set(scheduler.without_prospect(records, trials))
        promoted = scheduler.next_segment(records)
        assert not isinstance(promoted, Continue) or promoted.trial not in gone
    keeping = len(values[:trials]) - len(gone)
    assert keeping <= max(asha.LEAST_TRIALS, 2 * trials) // eta


# ASHA by stopping, by hand -----------------------------------------------------------

STOPPING = StoppingAsha(epochs=9, min_epochs=1, eta=3)


def arrived(*values: float) -> list[TrialRecord]:
    """Trials that reached the first rung one after another."""
    records = at(*[(value,) for value in values])
    return [replace(r, arrivals={1: r.number}) for r in records]


def test_a_trial_among_the_best_third_so_far_passes_its_rung() -> None:
    records = arrived(0.5, 0.4, 0.6, 0.45, 0.41, 0.42)
    # Of the first five one may pass, the best so far; of six two may.
    stopped = [STOPPING.stops(records, n) for n in range(6)]
    assert stopped == [False, False, True, True, True, True]
    records = arrived(0.5, 0.4, 0.6, 0.45, 0.43, 0.42)
    assert not STOPPING.stops(records, 5)
    assert [STOPPING.stops(arrived(0.3, 0.3), n) for n in (0, 1)] == [False, True]


def test_whoever_comes_later_does_not_change_what_was_decided() -> None:
    values = (0.5, 0.4, 0.6, 0.45, 0.41, 0.42)
    for number in range(6):
        then = STOPPING.stops(arrived(*values[: number + 1]), number)
        later = STOPPING.stops(arrived(*values, *[0.01] * 20), number)
        assert then == later


def test_a_trial_that_passed_goes_on_before_a_new_one_begins() -> None:
    records = arrived(0.5, 0.4)
    assert STOPPING.next_segment(records) == Continue(0, 3)
    records[0] = replace(at((0.5, 0.4))[0], arrivals={1: 0, 3: 0})
    assert STOPPING.next_segment(records) == Continue(0, 9)
    records = [replace(r, outcome=Outcome.STOPPED) for r in records]
    assert STOPPING.next_segment(records) == NewTrial(1)
    assert STOPPING.next_segment(records, may_create=False) is None


def test_no_other_scheduler_stops_a_trial_for_good() -> None:
    records = arrived(0.1, 0.2, 0.3)
    for scheduler in (ASHA, FullTraining(9)):
        assert not any(scheduler.stops(records, n) for n in range(3))


# Whole studies on analytic curves ----------------------------------------------------


def curve(flat: dict[str, float], epoch: int) -> float:
    """A final loss in [0, 1.4], approached from above at a speed that varies."""
    final = math.hypot(flat["x"] - 0.2, flat["y"] - 0.8)
    return final + math.exp(-epoch / (2 + 4 * flat["y"]))


def study(scheduler: Scheduler, seed: int, workers: int = 1) -> SimulatedStudy:
    searcher = make_searcher("random")
    return SimulatedStudy(square(), curve, searcher, scheduler, seed, workers)


@pytest.mark.parametrize("kind", [Asha, StoppingAsha])
def test_asha_beats_full_trainings_at_equal_epochs(
    kind: type[Asha] | type[StoppingAsha],
) -> None:
    asha, none = kind(epochs=27, min_epochs=1, eta=3), FullTraining(27)
    budget = 10 * 27
    ours = [
        best_value(study(asha, s).run(trials=999, epoch_budget=budget))
        for s in range(20)
    ]
    full = [
        best_value(study(none, s).run(trials=999, epoch_budget=budget))
        for s in range(20)
    ]
    assert np.mean(ours) < 0.7 * np.mean(full)
    assert sum(a < b for a, b in zip(ours, full, strict=True)) >= 15


@pytest.mark.parametrize("workers", [1, 4])
def test_a_study_keeps_the_shape_of_successive_halving(workers: int) -> None:
    scheduler = Asha(epochs=27, min_epochs=1, eta=3)
    records = study(scheduler, 0, workers).run(trials=81)
    reached = Counter(rung for r in records for rung in r.rung_values)
    assert reached[1] == 81
    assert reached[3] >= 27
    assert 9 <= reached[9] <= 15
    assert 3 <= reached[27] <= 8
    done = {r.number for r in records if r.outcome is Outcome.COMPLETED}
    waiting_now = {r.number for r in records if r.waiting}
    assert done | waiting_now == set(range(81))
    best = min(records, key=lambda r: r.rung_values[1])
    assert best.number in done


def test_a_study_with_one_worker_repeats_itself_exactly() -> None:
    scheduler = Asha(epochs=9, min_epochs=1, eta=3)
    assert study(scheduler, 3).run(trials=30) == study(scheduler, 3).run(trials=30)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    trials=st.integers(1, 30),
    workers=st.integers(1, 5),
    share=st.floats(0, 1),
)
def test_every_study_comes_to_an_end_with_a_full_trial_if_one_can_be_had(
    seed: int, trials: int, workers: int, share: float
) -> None:
    def partly_failing(flat: dict[str, float], epoch: int) -> float | Outcome:
        return Outcome.FAILED_NAN if flat["x"] < share else curve(flat, epoch)

    scheduler = Asha(epochs=9, min_epochs=1, eta=3)
    searcher = make_searcher("random")
    records = SimulatedStudy(
        square(), partly_failing, searcher, scheduler, seed, workers
    ).run(trials=trials)
    assert len(records) == trials
    assert not any(r.running or r.interrupted for r in records)
    alive = [r for r in records if r.outcome is not Outcome.FAILED_NAN]
    assert any(r.outcome is Outcome.COMPLETED for r in records) == bool(alive)
