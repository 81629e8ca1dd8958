"""The benchmark of searches, on analytic curves in place of the surrogate."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.analytic_suite import EPOCHS, Bowl, Bowls

from experiments.benchmarks.search_quality import jobs as jobs_module
from experiments.benchmarks.search_quality import methods as methods_module
from experiments.benchmarks.search_quality import tables
from experiments.benchmarks.search_quality.jobs import Job, load_result, run_job
from experiments.benchmarks.search_quality.methods import (
    ENGINES,
    METHODS,
    OURS,
    PEERS,
    code_digest,
)
from experiments.benchmarks.search_quality.plan import Plan
from experiments.benchmarks.search_quality.regions import (
    FailingRegion,
    best_point,
    units,
)
from experiments.benchmarks.search_quality.report import write_report
from experiments.benchmarks.search_quality.results import Results, variant
from experiments.benchmarks.search_quality.run import cached, measure
from experiments.benchmarks.search_quality.simulate import Simulation
from search.engine.rules import Engine
from search.engine.schedulers import make_scheduler
from search.engine.searchers import make_searcher


def simulation(scheduler: str, *, workers: int = 1, seed: int = 0) -> Simulation:
    problem = Bowl()
    rungs = make_scheduler(scheduler, epochs=EPOCHS, min_epochs=1)
    engine = Engine(problem.space, make_searcher("random"), rungs)
    return Simulation(problem, engine, seed=seed, workers=workers)


def test_a_budget_of_full_trainings_is_that_many_trials_without_a_scheduler() -> None:
    trace, state = simulation("none").run(5 * EPOCHS)
    values = [min(t.epoch_values.values()) for t in state.trials]
    assert len(values) == 5
    for count in range(1, 6):
        assert trace.best_at(count * EPOCHS) == min(values[:count])


def test_every_epoch_counts_from_its_own_end() -> None:
    trace, _ = simulation("none").run(EPOCHS)
    assert [epoch for epoch, _ in trace.steps] == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_continued_trial_spends_no_epoch_twice(workers: int) -> None:
    _, state = simulation("asha", workers=workers).run(20 * EPOCHS)
    trained = sum(len(t.epoch_values) for t in state.trials)
    assert trained == 20 * EPOCHS
    assert any(t.last_epoch == EPOCHS and t.attempts > 1 for t in state.trials)


def test_workers_train_at_the_same_time_and_the_slow_end_later() -> None:
    _, state = simulation("none", workers=4).run(40 * EPOCHS)
    assert sum(t.running for t in state.trials) >= 3
    ended = [t.number for t in state.trials if t.outcome]
    order = sorted(ended, key=lambda n: state.details[n].ended or "")
    assert order != sorted(order)


def test_a_simulation_is_repeated_exactly_by_its_seed() -> None:
    first, again, other = (
        simulation("asha", workers=4, seed=seed).run(10 * EPOCHS)[0]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_failing_region_has_its_share_and_lies_beside_the_optimum(
    share: float,
) -> None:
    problem = FailingRegion(Bowl(), share)
    generator = np.random.default_rng(1)
    flats = [problem.space.sample(generator) for _ in range(4000)]
    fails = np.array([problem.curve(flat).fails for flat in flats])
    assert fails.mean() == pytest.approx(share, abs=0.03)
    best = best_point(Bowl())
    assert best == pytest.approx([0.2, 0.6], abs=0.02)
    assert not problem.region.holds(best)
    points = np.array([units(problem.space, flat) for flat in flats])
    assert np.linalg.norm(points[fails] - best, axis=1).min() < 0.05


def test_a_failing_trial_costs_one_epoch_and_is_counted() -> None:
    problem = FailingRegion(Bowl(), 0.5)
    engine = ENGINES["asha-random"].engine(problem)
    trace, state = Simulation(problem, engine).run(10 * EPOCHS)
    failed = [t for t in state.trials if t.outcome and t.outcome.is_failure]
    assert sum(trace.failed) == len(failed) > 3
    trained = sum(len(t.epoch_values) for t in state.trials)
    assert trained + len(failed) == 10 * EPOCHS


@pytest.mark.parametrize("name", [name for name in PEERS if name != "smac"])
def test_a_peer_finds_the_bowl_within_its_budget(name: str) -> None:
    trace = PEERS[name].run(Bowl(), 0, 40 * EPOCHS)
    assert Bowl().regret(trace.best_at(40 * EPOCHS)) < 0.02
    assert trace.best_at(EPOCHS) >= trace.best_at(40 * EPOCHS)


@pytest.mark.parametrize("name", ["ray-asha-hyperopt", "optuna-halving"])
def test_a_peer_that_stops_trials_begins_more_of_them(name: str) -> None:
    trace = PEERS[name].run(Bowl(), 0, 20 * EPOCHS)
    assert len(trace.failed) > 25


@pytest.mark.parametrize("name", ["ray-asha-hyperopt", "optuna", "optuna-median"])
def test_a_peer_goes_on_after_failures(name: str) -> None:
    trace = PEERS[name].run(FailingRegion(Bowl(), 0.5), 0, 20 * EPOCHS)
    assert any(trace.failed)
    assert not all(trace.failed)


def small_plan(trainings: int = 4) -> Plan:
    return Plan(seeds=2, trainings=trainings, methods=(OURS, "random"))


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = small_plan().jobs(Bowls().tasks)
    measure(jobs[:5], Bowls(), tmp_path)
    searched: list[Job] = []

    def counted(job: Job, suite: Bowls, folder: Path) -> jobs_module.Result:
        searched.append(job)
        return run_job(job, suite, folder)

    monkeypatch.setattr("experiments.benchmarks.search_quality.run.run_job", counted)
    measure(jobs, Bowls(), tmp_path)
    assert searched == jobs[5:]
    assert len(list(cached(jobs, tmp_path))) == len(jobs)


def test_a_cached_result_is_the_result_and_that_of_other_code_is_not_used(
    tmp_path: Path,
) -> None:
    job = Job(OURS, "left", 1, failing=25, trainings=6)
    measure([job], Bowls(), tmp_path)
    found, fresh = load_result(job, tmp_path), run_job(job, Bowls(), tmp_path)
    assert found is not None
    assert (found.regrets, found.failed) == (fresh.regrets, fresh.failed)
    path = job.path(tmp_path)
    content = json.loads(path.read_text("utf-8")) | {"fingerprint": "other"}
    path.write_text(json.dumps(content), "utf-8")
    assert load_result(job, tmp_path) is None


def test_the_same_seed_draws_differently_for_every_task(tmp_path: Path) -> None:
    left, right = (Job("random", task, 0) for task in Bowls().tasks)
    assert left.study_seed != right.study_seed
    assert left.study_seed == Job("optuna", "left", 0, workers=4).study_seed
    found = run_job(left, Bowls(), tmp_path).regrets
    assert found == run_job(left, Bowls(), tmp_path).regrets


def test_only_code_that_does_something_is_a_part_of_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "plain": "def f(x):\n    return x + 1\n",
        "explained": 'def f(x):\n    """Add."""\n    return x + 1  # one\n',
        "other": "def f(x):\n    return x + 2\n",
    }
    monkeypatch.setattr(methods_module, "ROOT", tmp_path)
    found = {}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        found[name] = code_digest((f"{name}.py",))
    assert found["plain"] == found["explained"]
    assert found["plain"] != found["other"]


def test_the_report_names_every_search_and_measure(tmp_path: Path) -> None:
    jobs = small_plan(trainings=24).jobs(Bowls().tasks)
    measure(jobs, Bowls(), tmp_path)
    results = Results.of(cached(jobs, tmp_path))
    write_report(results, tmp_path / "out", trainings=24)
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    for name in (OURS, "random"):
        assert METHODS[name].label in text
    assert text.count("not run") == 0
    rows = (tmp_path / "out" / "runs.csv").read_text("utf-8").splitlines()
    assert len(rows) == len(jobs) + 1
    assert (tmp_path / "out" / "regret.svg").is_file()


def test_a_warm_start_begins_with_the_portfolio_of_the_other_tasks(
    tmp_path: Path,
) -> None:
    warm = Job(OURS, "left", 0, warm=True, trainings=4)
    cold = Job(OURS, "left", 0, trainings=4)
    gained = run_job(cold, Bowls(), tmp_path).regrets[0]
    assert run_job(warm, Bowls(), tmp_path).regrets[0] < gained
    assert variant(OURS, warm=True) == warm.variant


def test_no_ratio_is_taken_to_a_regret_that_may_be_zero() -> None:
    blocks = [("a", seed) for seed in range(6)]
    near_zero = dict(zip(blocks, (-0.1, 0.1, -0.1, 0.1, 0.0, 0.1), strict=True))
    worse = {block: regret + 0.06 for block, regret in near_zero.items()}
    assert tables._relative(worse, near_zero)[1] == "-"
    large = {block: regret + 1.0 for block, regret in near_zero.items()}
    larger = {block: 1.05 * regret for block, regret in large.items()}
    words, verdict = tables._relative(larger, large)
    assert words.startswith("+5.0%")
    assert verdict == "yes"
    much = {block: 1.2 * regret for block, regret in large.items()}
    assert tables._relative(much, large)[1] == "no"
