"""Coordinates, processes, the chain of rungs, failures, and earlier studies."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad
from support.searcher_contract import CONDITIONAL, history_of
from support.simulated_study import SimulatedStudy, finished, square, toy_space
from threadpoolctl import threadpool_info, threadpool_limits

from search.engine.schedulers import FullTraining
from search.engine.searchers import (
    NO_EARLIER,
    Earlier,
    Observation,
    gaussian,
    make_searcher,
)
from search.engine.searchers.candidates import Candidates
from search.engine.searchers.duplicates import NEAR, Neighbourhood
from search.engine.searchers.evidence import Evidence, rungs_of
from search.engine.searchers.feasibility import feasibility_of
from search.engine.searchers.gaussian import (
    Model,
    log_expected_improvement,
    scores_ahead,
    startup_sample,
)
from search.engine.searchers.gaussian_process import (
    GaussianProcess,
    _Likelihood,
    fit_hyperparameters,
    prior_hyperparameters,
)
from search.engine.searchers.rung_chain import Sample, chain_of, normal_scores
from search.engine.searchers.units import UnitSpace
from search.journal.records import TrialRecord
from search.space import Space
from search.space.values import FlatConfiguration
from search.trial.outcome import Outcome

NONE = np.empty((0, 2))


# Coordinates -------------------------------------------------------------------------


def test_encoding_and_decoding_give_the_configuration_back() -> None:
    units, numbers = UnitSpace(CONDITIONAL), np.random.default_rng(0)
    flats = [CONDITIONAL.sample(numbers) for _ in range(200)]
    for flat, row in zip(flats, units.encode(flats), strict=True):
        back = units.decode(row)
        assert back["rate"] == pytest.approx(flat["rate"], rel=1e-9)
        for name in ("depth", "width", "kind"):
            assert back[name] == flat[name]
            assert type(back[name]) is type(flat[name])


def test_a_choice_tells_true_from_one() -> None:
    units = UnitSpace(CONDITIONAL)
    flat = {"depth": 0, "width": None, "rate": 1e-3, "kind": True}
    rows = units.encode([flat, flat | {"kind": 1}, flat | {"kind": None}])
    assert rows[:, 3].tolist() == pytest.approx([0.7, 0.9, 0.5])


def test_an_inactive_parameter_has_one_coordinate_and_a_choice_no_order() -> None:
    units = UnitSpace(CONDITIONAL)
    snapped = units.snap(np.array([[0.1, 0.9, 0.5, 0.05], [0.1, 0.2, 0.5, 0.95]]))
    assert snapped[:, 1].tolist() == [0.5, 0.5]
    first, second = units.features(snapped)
    assert np.square(first - second).sum() == pytest.approx(1)
    assert units.owners.tolist() == [0, 1, 2, 3, 3, 3, 3, 3]


def test_what_leaves_the_unit_cube_is_reflected() -> None:
    snapped = UnitSpace(square()).snap(np.array([[-0.1, 1.2], [0.3, 7.0]]))
    assert snapped == pytest.approx(np.array([[0.1, 0.8], [0.3, 0.0]]))


def test_candidates_lie_in_the_space_and_wake_inactive_parameters() -> None:
    units = UnitSpace(CONDITIONAL)
    best = units.encode([{"depth": 0, "width": None, "rate": 1e-3, "kind": "a"}])
    candidates = Candidates(units, np.random.default_rng(0))
    flats = [units.decode(row) for row in candidates.around(best, 300)]
    assert all(CONDITIONAL.faults(flat) == {} for flat in flats)
    widths = [flat["width"] for flat in flats if flat["width"] is not None]
    assert len(widths) > 20
    assert max(widths) - min(widths) > 150  # type: ignore[operator,type-var]


def test_candidates_anywhere_follow_the_prior() -> None:
    space = toy_space(
        x={
            "type": "float",
            "low": 0.0,
            "high": 1.0,
            "prior": {"value": 0.2, "spread": 0.05, "weight": 0.8},
        }
    )
    drawn = Candidates(UnitSpace(space), np.random.default_rng(0)).anywhere(500)
    assert np.mean(np.abs(drawn - 0.2) < 0.15) > 0.7
    assert UnitSpace(space).log_prior(np.array([[0.2], [0.8]]))[0] > 1


# The model ---------------------------------------------------------------------------


def test_the_gradient_of_the_likelihood_is_right() -> None:
    numbers = np.random.default_rng(0)
    features = numbers.random((15, 3))
    owners = np.array([0, 1, 1])
    values = numbers.normal(size=15)
    prior = prior_hyperparameters(2)
    likelihood = _Likelihood(features, owners, values, prior)
    point = np.array([-0.5, 0.3, -3.0])
    error = check_grad(
        lambda p: likelihood(p)[0], lambda p: likelihood(p)[1], point, epsilon=1e-6
    )
    assert error < 1e-4


def test_a_parameter_without_effect_gets_the_longer_length() -> None:
    points = np.random.default_rng(0).random((40, 2))
    values = normal_scores(np.sin(6 * points[:, 0]))
    hyper = fit_hyperparameters(points, np.array([0, 1]), values)
    assert hyper.log_lengths[1] > hyper.log_lengths[0] + 0.5


def test_a_process_meets_its_values_and_a_pending_point_takes_doubt_away() -> None:
    points = np.array([[0.1, 0.1], [0.9, 0.9]])
    pending = np.array([[0.5, 0.5]])
    lengths, values = np.array([0.3, 0.3]), np.array([-1.0, 1.0])
    alone = GaussianProcess(points, lengths, 1e-6, values, NONE)
    waited = GaussianProcess(points, lengths, 1e-6, values, pending)
    assert alone.predict(points)[0] == pytest.approx(values, abs=1e-3)
    assert waited.predict(pending)[0] == pytest.approx(alone.predict(pending)[0])
    assert waited.predict(pending)[1] < 0.01 * alone.predict(pending)[1]


def test_scores_depend_on_ranks_alone_and_equal_values_share_one() -> None:
    scores = normal_scores(np.array([3.0, 1.0, 1e9, 1.0]))
    assert scores[1] == scores[3] < scores[0] < scores[2]
    assert scores == pytest.approx(normal_scores(np.array([3.0, 1.0, 4.0, 1.0])))


def _chained(deep_sign: float) -> tuple[float, float]:
    """Correlation of a chain's prediction with the truth, and its last slope."""
    numbers = np.random.default_rng(1)
    shallow, deep = numbers.random((60, 2)), numbers.random((12, 2))
    samples = [
        Sample(shallow, normal_scores(_bowl(shallow)), NONE),
        Sample(deep, normal_scores(deep_sign * _bowl(deep)), NONE),
    ]
    chain = chain_of(samples, np.log([0.3, 0.3]), np.array([0, 1]))
    points = numbers.random((200, 2))
    found = np.corrcoef(chain.mean(points), deep_sign * _bowl(points))[0, 1]
    return float(found), chain.links[-1].slope


def _bowl(points: np.ndarray) -> np.ndarray:
    return np.asarray(((points - 0.4) ** 2).sum(axis=1))


def test_a_deep_rung_learns_from_the_one_before_as_far_as_that_agrees() -> None:
    agreeing, slope = _chained(1)
    assert agreeing > 0.9
    assert slope > 0.7
    contradicting, slope = _chained(-1)
    assert slope < 0.1
    assert contradicting > 0


def test_expected_improvement_is_right_and_finite_far_away() -> None:
    numbers = np.random.default_rng(0).normal(size=400_000)
    for mean in (-1.0, 0.0, 1.5):
        expected = np.log(np.maximum(0.5 - (mean + 0.7 * numbers), 0).mean())
        found = log_expected_improvement(np.array([mean]), np.array([0.7]), 0.5)
        assert found[0] == pytest.approx(expected, abs=0.02)
    far = log_expected_improvement(np.array([5.5, 50.0]), np.array([1.0, 1.0]), 0.0)
    assert np.isfinite(far).all()
    assert far[0] > far[1]


# What is told ------------------------------------------------------------------------


def test_rungs_are_told_apart_and_failed_trials_left_out() -> None:
    space, numbers = square(), np.random.default_rng(0)
    history = [
        replace(
            finished(k, space.sample(numbers), 0.1),
            rung_values={3: 0.5 - k, 9: -float(k)} if k < 4 else {3: 0.5},
            outcome=Outcome.FAILED_NAN if k == 5 else None,
        )
        for k in range(8)
    ]
    shallow, deep = rungs_of(history)
    assert (shallow.epoch, deep.epoch) == (3, 9)
    assert shallow.rows == (0, 1, 2, 3, 4, 6, 7)
    assert deep.values.tolist() == [0, -1, -2, -3]
    evidence = Evidence.of(UnitSpace(space), history)
    assert evidence is not None
    assert evidence.failed == (5,)


def test_a_running_trial_is_believed_to_meet_its_prediction() -> None:
    """So the next proposal has to improve on it, and looks elsewhere."""
    space, numbers = square(), np.random.default_rng(2)
    flats = [space.sample(numbers) for _ in range(12)]
    history = [finished(k, flat, _distance(flat)) for k, flat in enumerate(flats)]
    units, points = UnitSpace(space), numbers.random((2000, 2))

    def model(records: list[TrialRecord]) -> Model:
        evidence = Evidence.of(units, records)
        assert evidence is not None
        return Model.of(evidence, NO_EARLIER)

    alone = model(history)
    expected = alone.chain.mean(points)
    there = points[[np.argmin(expected)]]
    assert expected.min() < alone.target
    running = TrialRecord(12, units.decode(there[0]), running=True)
    waited = model([*history, running])
    assert waited.target == pytest.approx(expected.min())
    assert waited.merit(there)[0] < alone.merit(there)[0] - 0.5


def test_a_sure_gain_counts_most_near_the_best_and_a_chance_far_ahead_of_it() -> None:
    space = square()
    known = [finished(k, {"x": 0.1 + k / 50, "y": 0.1}, 1 - k / 50) for k in range(12)]
    evidence = Evidence.of(UnitSpace(space), known)
    assert evidence is not None
    model = Model.of(evidence, NO_EARLIER, ahead=0.0)
    sure, doubtful = np.array([[0.34, 0.1], [0.9, 0.9]])
    points = np.array([sure, doubtful])
    (better, worse), (small, large) = model.chain.predict(model.units.features(points))
    assert better < model.target < worse
    assert small < large
    here, far = (replace(model, ahead=a).merit(points) for a in (0.0, 4.0))
    assert here[0] > here[1]
    assert far[0] < far[1]


def test_the_more_trials_run_the_farther_ahead_the_next_one_looks() -> None:
    alone = [scores_ahead(trial, n_running=0) for trial in range(6)]
    assert alone == [0, 1, 3, 0, 1, 3]
    among_15 = [scores_ahead(trial, n_running=15) for trial in range(12)]
    assert among_15.count(0) == 2, "some refine, however many run"
    assert set(among_15) == {0, 1.2 * math.log(16)}
    assert [scores_ahead(trial, n_running=3) for trial in range(1, 6)] == [
        1.2 * math.log(4),
        3,
        1.2 * math.log(4),
        1.2 * math.log(4),
        3,
    ]


def test_a_smooth_bowl_is_followed_down_and_not_only_explored() -> None:
    axis = {"type": "float", "low": 0.0, "high": 1.0}
    space = toy_space(**dict.fromkeys("abcde", axis))

    def distance(name: str, seed: int) -> float:
        centre = np.random.default_rng(seed).uniform(0.2, 0.8, 5)

        def bowl(flat: FlatConfiguration, _epoch: int) -> float:
            return float(((np.array(list(flat.values())) - centre) ** 2).sum())

        study = SimulatedStudy(space, bowl, make_searcher(name), FullTraining(1), seed)
        return min(bowl(trial.configuration, 1) for trial in study.run(trials=60))

    found = {
        name: np.mean([distance(name, seed) for seed in range(4)])
        for name in ("gaussian", "hyperopt")
    }
    assert found["gaussian"] < 0.75 * found["hyperopt"]


def test_a_long_history_is_bounded_by_the_best_and_the_newest() -> None:
    history = history_of(square(), 400)
    (rung,) = rungs_of(history)
    kept = rung.bounded(100)
    assert len(kept.rows) == 100
    assert set(rung.best_first[:50]) <= set(kept.rows)
    assert set(range(370, 400)) <= set(kept.rows)


def test_the_startup_spreads_more_evenly_than_random_draws() -> None:
    space = square()
    flats = [startup_sample(space, trial=k, seed=3) for k in range(16)]
    for axis in ("x", "y"):
        cells = {int(float(flat[axis] or 0) * 16) for flat in flats}
        assert len(cells) == 16


# Failures and constraints ------------------------------------------------------------


def test_a_region_is_believed_to_fail_after_a_few_failures() -> None:
    numbers = np.random.default_rng(0)
    points = numbers.random((30, 2))
    fails = points[:, 0] > 0.6
    model = feasibility_of(points[~fails], points[fails], np.array([0, 1]))
    assert model is not None
    inside, outside = np.array([[0.9, 0.5]]), np.array([[0.2, 0.5]])
    assert np.exp(model.log_probability(inside))[0] < 0.1
    assert np.exp(model.log_probability(outside))[0] > 0.9
    assert feasibility_of(points, NONE, np.array([0, 1])) is None


def test_the_best_candidate_that_a_constraint_allows_is_proposed() -> None:
    space = square(constraints=("x <= 0.5",))
    numbers = np.random.default_rng(0)
    history = [
        finished(k, flat, -float(flat["x"] or 0))
        for k in range(20)
        for flat in [space.sample(numbers)]
    ]
    searcher = make_searcher("gaussian")
    for trial in (3, *range(20, 26)):
        flat = searcher.propose(space, history, trial=trial, seed=0)
        assert space.allows(flat)
    assert float(flat["x"] or 0) > 0.4


def _missed(believed: float | None, aim: float, n_trials: int) -> float:
    """Mean distance of proposals from `aim` in x, of which 0.7 is best."""
    plain: dict[str, object] = {"type": "float", "low": 0.0, "high": 1.0}
    prior = {"value": believed, "spread": 0.05, "weight": 0.8}
    without = toy_space(x=plain, y=plain)
    space = (
        without if believed is None else toy_space(x=plain | {"prior": prior}, y=plain)
    )
    searcher, distances = make_searcher("gaussian"), []
    for seed in range(6):
        numbers = np.random.default_rng(seed)
        points = [without.sample(numbers) for _ in range(n_trials)]
        values = [
            (float(p["x"] or 0) - 0.7) ** 2 + (float(p["y"] or 0) - 0.5) ** 2
            for p in points
        ]
        history = [
            finished(k, p, v)
            for k, (p, v) in enumerate(zip(points, values, strict=True))
        ]
        for trial in range(n_trials, n_trials + 3):
            flat = searcher.propose(space, history, trial=trial, seed=seed)
            distances.append(abs(float(flat["x"] or 0) - aim))
    return float(np.mean(distances))


def test_a_prior_moves_the_first_proposals_of_the_model() -> None:
    assert _missed(0.7, 0.7, 10) < 0.85 * _missed(None, 0.7, 10)
    assert _missed(0.2, 0.2, 10) < 0.95 * _missed(None, 0.2, 10)


def test_a_wrong_prior_is_outvoted_by_trials() -> None:
    assert _missed(0.2, 0.7, 20) < _missed(None, 0.7, 20) + 0.05


# Earlier studies ---------------------------------------------------------------------


def _aim(space: Space, history: list[TrialRecord], earlier: Earlier) -> float:
    """Mean distance of proposals from (0.8, 0.2)."""
    searcher = make_searcher("gaussian")
    distances = []
    for trial in range(len(history), len(history) + 8):
        flat = searcher.propose(space, history, trial=trial, seed=0, earlier=earlier)
        distances.append(_distance(flat))
    return float(np.mean(distances))


def _distance(flat: FlatConfiguration) -> float:
    return abs(float(flat["x"] or 0) - 0.8) + abs(float(flat["y"] or 0) - 0.2)


def _observations(sign: float) -> Earlier:
    numbers, space = np.random.default_rng(5), square()
    flats = [space.sample(numbers) for _ in range(60)]
    order = np.argsort(np.argsort([sign * _distance(flat) for flat in flats]))
    pairs = zip(flats, order, strict=True)
    return Earlier(observations=tuple(Observation(f, k / 59) for f, k in pairs))


def test_observations_of_earlier_studies_guide_the_first_proposals() -> None:
    space, numbers = square(), np.random.default_rng(2)
    flats = [space.sample(numbers) for _ in range(10)]
    history = [finished(k, flat, _distance(flat)) for k, flat in enumerate(flats)]
    guided = _aim(space, history, _observations(1))
    assert guided < _aim(space, history, NO_EARLIER)


def test_misleading_observations_are_outvoted_by_own_trials() -> None:
    space, numbers = square(), np.random.default_rng(2)
    flats = [space.sample(numbers) for _ in range(40)]
    history = [finished(k, flat, _distance(flat)) for k, flat in enumerate(flats)]
    misled = _aim(space, history, _observations(-1))
    assert misled < _aim(space, history, NO_EARLIER) + 0.15
    evidence = Evidence.of(UnitSpace(space), history)
    assert evidence is not None
    assert Model.of(evidence, _observations(-1)).chain.links[1].slope < 0.1


# Near-duplicates ---------------------------------------------------------------------


def test_a_near_duplicate_differs_in_nothing_that_matters() -> None:
    flat = {"depth": 1, "width": 64, "rate": 1e-3, "kind": True}
    near = Neighbourhood.of(CONDITIONAL, flat)
    factor = 1e4**NEAR
    assert near.holds(flat | {"rate": 1e-3 * factor**0.9})
    assert not near.holds(flat | {"rate": 1e-3 * factor**1.1})
    assert not near.holds(flat | {"width": 65})
    assert not near.holds(flat | {"kind": 1})
    assert not near.holds(flat | {"depth": 0, "width": None})
    assert near.meets([flat | {"width": 65}, flat])


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
