"""Which trial is promoted: by the search, or by its reruns."""

from dataclasses import replace

import pytest
from support.reruns import epoch_of, rerun_state, trial
from support.segment_work import value_at
from support.simulated_study import SimulatedStudy, square

from search.engine.schedulers import make_scheduler
from search.engine.searchers import make_searcher
from search.journal import PromotionReruns, StudyState, TrialRecord
from search.journal.events import PromotionCandidate
from search.promotion import Choice, choose
from search.promotion.account import account_of
from search.promotion.optimism import expected_optimism
from search.promotion.ranking import ranked, values_at
from search.study.config import PromotionConfig
from search.trial.outcome import Outcome
from sitenet_core.errors import NoTrialSucceededError


def chosen(*trials: TrialRecord) -> tuple[int, int, float]:
    choice = choose(StudyState(trials=trials))
    return choice.trial, choice.epoch, choice.value


def test_the_completed_trial_with_the_smallest_error_at_its_end_wins() -> None:
    found = chosen(trial(0, {3: 0.1, 9: 0.6}), trial(1, {3: 0.9, 9: 0.5}))
    assert found == (1, 9, 0.5)


def test_of_equal_trials_the_earlier_wins() -> None:
    assert chosen(trial(4, {9: 0.5}), trial(2, {9: 0.5}))[0] == 2


def test_a_better_value_at_a_lower_rung_does_not_beat_a_completed_trial() -> None:
    stopped = trial(0, {3: 0.1}, Outcome.STOPPED)
    assert chosen(stopped, trial(1, {3: 0.9, 9: 0.8}))[0] == 1


def test_without_a_completed_trial_the_deepest_rung_decides() -> None:
    found = chosen(
        trial(0, {3: 0.1}, Outcome.STOPPED),
        trial(1, {3: 0.5, 9: 0.4}, Outcome.CANCELLED),
        trial(2, {3: 0.6, 9: 0.3}, None),
    )
    assert found == (2, 9, 0.3)


def test_a_failed_trial_is_never_promoted() -> None:
    failed = trial(0, {3: 0.1, 9: 0.1}, Outcome.FAILED_NAN)
    assert chosen(failed, trial(1, {3: 0.9}, Outcome.STOPPED))[0] == 1


def test_a_study_without_a_value_says_how_its_trials_ended() -> None:
    failed = tuple(trial(n, {}, Outcome.FAILED_OOM) for n in range(2))
    with pytest.raises(NoTrialSucceededError, match=r"2 failed_oom.*sitenet search"):
        choose(StudyState(trials=failed))
    with pytest.raises(NoTrialSucceededError, match="none was started"):
        choose(StudyState())


def test_trials_are_ranked_rung_by_rung_from_the_deepest() -> None:
    trials = [
        trial(0, {3: 0.7, 9: 0.5}),
        trial(1, {3: 0.8, 9: 0.3}),
        trial(2, {3: 0.2}, None),
        trial(3, {3: 0.1}, Outcome.STOPPED),
        trial(4, {3: 0.9, 6: 0.6}, None),
        trial(5, {3: 0.0}, Outcome.FAILED_OOM),
    ]
    assert [c.trial for c in ranked(trials)] == [1, 0, 4, 3, 2]
    assert [(c.epoch, c.value) for c in ranked(trials)][1:4] == [
        (9, 0.5),
        (6, 0.6),
        (3, 0.1),
    ]
    assert sorted(values_at(trials, 3)) == [0.1, 0.2, 0.7, 0.8, 0.9]


def test_of_equal_configurations_only_the_best_is_ranked_and_compared() -> None:
    trials = [
        trial(0, {3: 0.9, 9: 0.40}),
        trial(1, {3: 0.7, 9: 0.30}),
        replace(trial(2, {3: 0.6, 9: 0.29}), configuration={"x": 1.0}),
        replace(trial(3, {3: 0.1}, None), configuration={"x": 1}),
        replace(trial(4, {3: 0.8}, None), configuration={"x": True}),
    ]
    assert [c.trial for c in ranked(trials)] == [2, 0, 4], "true is not 1"
    assert sorted(values_at(trials, 3)) == [0.6, 0.8, 0.9]


def test_a_copy_of_the_best_trial_does_not_keep_the_runner_up_from_a_rerun() -> None:
    first, second, third = (trial(n, {9: 0.1 * (n + 1)}) for n in range(3))
    copy = replace(first, number=3)
    assert [c.trial for c in ranked([first, second, third, copy])[:2]] == [0, 1]


@pytest.mark.parametrize("budget", [(10, 30), (40, 52), (40, 100), (60, 100)], ids=str)
def test_a_default_study_has_enough_trials_to_train_again(
    budget: tuple[int, int],
) -> None:
    """However few of them rungs leave: of 40 trials of 100 epochs one is completed."""
    trials, epochs = budget
    scheduler = make_scheduler("asha", epochs=epochs, min_epochs=3, eta=3)
    study = SimulatedStudy(square(), value_at, make_searcher("random"), scheduler)
    assert len(ranked(study.run(trials=trials))) >= PromotionConfig().top_k


def test_the_reruns_decide_and_not_the_value_that_was_selected_for() -> None:
    # With the search's value in the mean, trial 0 would win: 0.367 against 0.4.
    state = rerun_state([0.1, 0.4], {0: [0.50, 0.50], 1: [0.40, 0.40]})
    choice = choose(state)
    assert (choice.trial, choice.decided_by) == (1, "mean")
    assert [c.trial for c in choice.contenders] == [1, 0]
    assert choice.contenders[0].mean == pytest.approx(0.4)
    assert choice.value == 0.4


def test_the_order_of_the_reruns_in_the_journal_changes_nothing() -> None:
    state = rerun_state([0.1, 0.2], {0: [0.5, 0.4], 1: [0.3, 0.45]})
    plan, *reruns = state.promotion
    other = replace(state, promotion=(plan, *reversed(reruns)))
    assert choose(other) == choose(state)


def test_a_trial_that_differs_alike_for_every_seed_is_worse_and_not_tied() -> None:
    # The seeds differ by 0.2, which the pairs take away; the trials by 0.1.
    reruns = {0: [0.30, 0.50, 0.40], 1: [0.40, 0.60, 0.501]}
    choice = choose(rerun_state([0.1, 0.2], reruns, tie_within=0.9))
    lowest, other = choice.contenders
    assert (lowest.verdict, other.verdict) == ("lowest", "worse")
    assert other.interval is not None
    assert other.difference == pytest.approx(0.1, abs=1e-3)
    assert 0.09 < other.interval[0] < other.interval[1] < 0.11


STEADY = {
    0: [0.300, 0.314, 0.304],
    1: [0.301, 0.311, 0.308],
    2: [0.304, 0.317, 0.313],
    3: [0.400, 0.413, 0.410],
    4: [0.307, 0.315, 0.309],
}


@pytest.mark.parametrize(("top_k", "n_seeds"), [(3, 2), (5, 2), (5, 3)])
def test_one_rerun_that_diverges_makes_no_tie_of_all_the_others(
    top_k: int, n_seeds: int
) -> None:
    steady: dict[int, list[float | None]] = {
        n: list(STEADY[n][:n_seeds]) for n in (0, 3, 1, 2, 4)[:top_k]
    }
    search = [0.299, 0.303, 0.304, 0.3995, 0.301]
    others = choose(rerun_state(search, {k: v for k, v in steady.items() if k != 1}))
    diverged = {**steady, 1: [3.01, *steady[1][1:]]}
    choice = choose(rerun_state(search, diverged, tie_within=0.9))
    found = {c.trial: c for c in choice.contenders}
    assert [c.trial for c in choice.contenders if c.outlying_variance] == [1]
    assert found[1].verdict == "worse"
    assert found[3].verdict == "worse"
    expected = {c.trial: c.interval for c in others.contenders}
    assert {n: c.interval for n, c in found.items() if n != 1} == expected
    assert choice.standard_error == others.standard_error
    assert choice.optimism is not None
    assert others.optimism is not None
    assert choice.optimism.noise == others.optimism.noise
    text = account_of(choice, "eV")
    assert "**The reruns of trial 1 disagree far more than those of the other" in text
    assert "(3.01, 0.311" in text
    assert "one variance for those whose reruns agree" in text
    assert "disagree" not in account_of(others, "eV")
    assert "one variance for all of these trials" in account_of(others, "eV")


def test_the_lowest_mean_of_reruns_that_disagree_is_told_and_not_certain() -> None:
    reruns = {**STEADY, 2: [0.29, 0.05, 0.30]}
    choice = choose(rerun_state([0.3] * 5, reruns))
    assert (choice.trial, choice.decided_by) == (2, "mean")
    assert choice.contenders[0].outlying_variance
    assert [c.verdict for c in choice.contenders[1:4]] == ["tie"] * 3
    text = account_of(choice, "eV")
    assert "Its mean is the lowest all the same" in text
    assert "one variance for all of these trials" in text


def test_a_trial_whose_reruns_disagree_is_not_promoted_for_its_cost() -> None:
    reruns = {**STEADY, 1: [0.1, 0.513, 0.307]}
    cost = {1: (0.1, 10)}
    choice = choose(rerun_state([0.3] * 5, reruns, cost=cost, tie_within=0.01))
    tied = {c.trial: c for c in choice.contenders}[1]
    assert (tied.verdict, tied.outlying_variance) == ("tie", True)
    assert tied.difference is not None
    assert tied.difference < 0.01 * 0.305
    assert choice.trial != 1
    steady = choose(rerun_state([0.3] * 5, STEADY, cost=cost, tie_within=0.01))
    assert (steady.trial, steady.decided_by) == (1, "cost")


def test_a_choice_of_before_variances_and_epochs_were_told_is_still_read() -> None:
    choice = choose(rerun_state([0.3] * 5, STEADY))
    old = choice.model_dump(mode="json")
    for contender in old["contenders"]:
        del contender["outlying_variance"], contender["epoch"]
    del old["optimism"]["best"]
    read = Choice.model_validate(old)
    assert [c.mean for c in read.contenders] == [c.mean for c in choice.contenders]
    text = account_of(read, "eV")
    assert "Expected of the best of 5, where" in text
    assert "| 0 | 0.3 | – |" in text
    assert "not comparable" not in text


CHEAP_AND_DEAR = {0: [0.30, 0.50], 1: [0.4008, 0.4000]}


def test_a_tie_within_the_margin_is_broken_by_seconds_per_epoch() -> None:
    cost = {0: (2.0, 100), 1: (1.0, 900)}
    state = rerun_state([0.1, 0.2], CHEAP_AND_DEAR, cost=cost, tie_within=0.01)
    choice = choose(state)
    assert (choice.trial, choice.decided_by) == (1, "cost")
    assert [c.verdict for c in choice.contenders] == ["lowest", "tie"]
    assert "cheaper" in account_of(choice, "eV")


def test_a_tie_beyond_the_margin_is_told_and_the_mean_decides() -> None:
    cost = {0: (2.0, 100), 1: (1.0, 900)}
    state = rerun_state([0.1, 0.2], CHEAP_AND_DEAR, cost=cost, tie_within=0.0005)
    choice = choose(state)
    assert (choice.trial, choice.decided_by) == (0, "mean")
    assert choice.contenders[1].verdict == "tie"
    assert "cannot tell it from trial 1" in account_of(choice, "eV")


def test_of_trials_about_equally_fast_the_smaller_one_is_promoted() -> None:
    for seconds, winner in ((1.05, 1), (1.3, 0)):
        cost = {0: (1.0, 900), 1: (seconds, 100)}
        state = rerun_state([0.1, 0.2], CHEAP_AND_DEAR, cost=cost, tie_within=0.01)
        assert choose(state).trial == winner


def test_a_trial_of_which_a_rerun_failed_is_not_promoted() -> None:
    choice = choose(rerun_state([0.1, 0.2], {0: [0.1, None], 1: [0.9, 0.9]}))
    assert choice.trial == 1
    assert choice.contenders[-1].verdict == "failed"
    assert "| failed 1 of 2 |" in account_of(choice, "eV")


def test_if_reruns_of_all_failed_the_one_that_failed_least_is_promoted() -> None:
    reruns = {0: [None, None], 1: [0.9, None], 2: [None, 0.8]}
    choice = choose(rerun_state([0.1, 0.2, 0.3], reruns))
    assert (choice.trial, choice.decided_by) == (1, "search value")
    assert "A rerun of every one of these trials failed" in account_of(choice, "eV")


def test_one_seed_gives_no_interval_and_says_so() -> None:
    choice = choose(rerun_state([0.1, 0.2], {0: [0.5], 1: [0.4]}))
    assert choice.trial == 1
    assert choice.contenders[1].interval is None
    assert choice.contenders[1].verdict == "tie"
    assert "(no interval)" in account_of(choice, "eV")


def test_the_optimism_of_the_searchs_minimum_is_stated() -> None:
    reruns = {0: [0.30, 0.34], 1: [0.50, 0.52]}
    optimism = choose(rerun_state([0.20, 0.21, 0.7], reruns)).optimism
    assert optimism is not None
    assert optimism.measured == pytest.approx(0.12)
    assert optimism.compared == 3
    assert optimism.expected is not None
    assert optimism.expected > 0


def test_expected_optimism_is_of_the_searchs_best_and_measured_of_the_winner() -> None:
    reruns = {0: [0.50, 0.52], 1: [0.30, 0.34]}
    choice = choose(rerun_state([0.20, 0.21, 0.7], reruns))
    assert choice.trial == 1
    found = choice.optimism
    assert found is not None
    assert found.measured == pytest.approx(0.32 - 0.21)
    assert found.best == PromotionCandidate(trial=0, epoch=9, value=0.20)
    assert found.noise is not None
    assert found.expected == expected_optimism([0.20, 0.21, 0.7], found.noise)
    text = account_of(choice, "eV")
    assert "0.21 eV for the promoted trial 1 at epoch 9, its reruns have 0.32" in text
    best = "search's own best of 3, trial 0 with 0.2 eV at epoch 9"
    assert f"Expected of the {best}, where one training" in text


def waited() -> StudyState:
    """Return a study whose winner waited at epoch 3, where others had less."""
    state = rerun_state([0.40, 0.21, 0.7], {0: [0.50, 0.52], 1: [0.30, 0.34]})
    plan, *events = state.promotion
    assert isinstance(plan, PromotionReruns)
    completed, _ = plan.candidates
    waiting = PromotionCandidate(trial=1, epoch=3, value=0.5)
    plan = plan.model_copy(update={"candidates": [completed, waiting]})
    events += [epoch_of(n, seed, 3, 0.55) for n in (0, 1) for seed in (1, 2)]
    trials = (
        trial(0, {3: 0.45, 9: 0.40}),
        trial(1, {3: 0.5}, None),
        trial(2, {3: 0.6, 9: 0.7}),
    )
    return StudyState(trials=trials, promotion=(plan, *events))


def test_of_a_winner_that_waited_at_a_lower_rung_no_minimum_is_claimed() -> None:
    choice = choose(waited())
    assert (choice.trial, choice.epoch) == (1, 3)
    found = choice.optimism
    assert found is not None
    assert found.measured == pytest.approx(0.05)
    assert found.best == PromotionCandidate(trial=0, epoch=9, value=0.40)
    assert found.compared == 2, "at epoch 9"
    assert found.noise is not None
    assert found.expected == expected_optimism([0.40, 0.7], found.noise)


def test_a_trial_that_was_searched_after_the_plan_is_no_minimum_of_it() -> None:
    state = waited()
    later = replace(state, trials=(*state.trials, trial(3, {9: 0.01})))
    assert choose(later).optimism == choose(state).optimism


def test_search_values_are_told_with_their_epochs() -> None:
    choice = choose(waited())
    assert {c.trial: c.epoch for c in choice.contenders} == {0: 9, 1: 3}
    text = account_of(choice, "eV")
    assert "| trial | search (eV) | at epoch | mean of reruns (eV) |" in text
    assert "\n| 1 | 0.5 | 3 | 0.32 |" in text
    assert "\n| 0 | 0.4 | 9 | 0.51 |" in text
    warning = "The search's values of different epochs are not comparable."
    assert warning in text
    alike = choose(rerun_state([0.1, 0.2], {0: [0.5, 0.4], 1: [0.3, 0.45]}))
    assert warning not in account_of(alike, "eV")


def test_the_optimism_of_a_trial_compared_at_a_rung_is_that_of_the_rung() -> None:
    state = rerun_state([0.20, 0.21], {0: [0.10, 0.10], 1: [0.50, 0.52]})
    plan, *events = state.promotion
    assert isinstance(plan, PromotionReruns)
    early = [
        PromotionCandidate(trial=c.trial, epoch=3, value=c.value)
        for c in plan.candidates
    ]
    events += [epoch_of(0, seed, 3, 0.25) for seed in (1, 2)]
    trials = tuple(trial(n, {3: v}, None) for n, v in enumerate((0.20, 0.21)))
    plan = plan.model_copy(update={"candidates": early})
    choice = choose(StudyState(trials=trials, promotion=(plan, *events)))
    assert choice.optimism is not None
    assert choice.optimism.measured == pytest.approx(0.05)
    assert choice.optimism.noise is None, "no reruns of trial 1 tell of epoch 3"


def test_a_trial_compared_on_part_of_the_structures_has_no_optimism() -> None:
    state = rerun_state([0.20, 0.21], {0: [0.10, 0.10], 1: [0.50, 0.52]})
    trials = tuple(trial(n, {9: v}, None) for n, v in enumerate((0.20, 0.21)))
    assert choose(state).optimism is not None
    assert choose(replace(state, trials=trials)).optimism is None
    # Promoted before one that was completed: the latter's is known.
    mixed = replace(state, trials=(trials[0], state.trials[1]))
    plan, *events = state.promotion
    assert isinstance(plan, PromotionReruns)
    plan = plan.model_copy(update={"candidates": plan.candidates[::-1]})
    choice = choose(replace(mixed, promotion=(plan, *events)))
    assert choice.trial == 0
    assert choice.optimism is not None
    assert choice.optimism.measured is None
    assert choice.optimism.expected is not None
    text = account_of(choice, "eV")
    assert "not measured of trial 0" in text
    assert "Expected of the search's own best of 1, trial 1 with 0.21 eV" in text


def test_a_journal_without_all_of_its_reruns_gives_no_choice() -> None:
    state = rerun_state([0.1, 0.2], {0: [0.5, 0.4], 1: [0.3, 0.45]})
    short = replace(state, promotion=state.promotion[:-1])
    with pytest.raises(ValueError, match="trial-00001-seed-2"):
        choose(short)


def test_a_choice_comes_back_from_json_as_it_was() -> None:
    choice = choose(rerun_state([0.1, 0.2], {0: [0.5, 0.4], 1: [0.3, None]}))
    assert Choice.model_validate_json(choice.model_dump_json()) == choice
