"""The warm start: searches on the other tasks, carried over by the product's code.

The engine searches each of the other tasks from nothing. What it tried becomes an
earlier study, and `carry_over` makes portfolio and observations of them all, as it does
for a study file with `warm_start`. Three such histories take turns over the seeds.
"""

from functools import lru_cache
from pathlib import Path

from experiments.benchmarks.search_quality.methods import EngineMethod, code_digest
from experiments.benchmarks.search_quality.problem import Suite
from experiments.benchmarks.search_quality.simulate import Simulation
from search.engine.searchers.protocol import Earlier
from search.engine.warm_start import EarlierStudy, WarmStart, carry_over

HISTORIES = 3
_CODE = (
    "search/engine/warm_start",
    "experiments/benchmarks/search_quality/warm.py",
)
_FIRST_SEED = 1000
"""Seeds of the histories: none that a measured search has."""


def warm_fingerprint(method: EngineMethod) -> str:
    """Return a digest of the code that decides what is carried over."""
    return code_digest(_CODE, method.fingerprint)


def earlier_for(
    suite: Suite, method: EngineMethod, seed: int, trainings: int, folder: Path
) -> Earlier:
    """Return what `warm_start_for` tells a searcher."""
    warm_start = warm_start_for(suite, method, seed, trainings, folder)
    return warm_start.earlier(suite.space, {})


def warm_start_for(
    suite: Suite, method: EngineMethod, seed: int, trainings: int, folder: Path
) -> WarmStart:
    """Return what the engine's searches on the other tasks hand on to a new one.

    Args:
        suite: of tasks; only its `others` are searched.
        method: the engine.
        seed: of the study that is to begin.
        trainings: budget of each earlier search.
        folder: where histories are kept between runs.
    """
    history = _FIRST_SEED + seed % HISTORIES
    name = f"{method.searcher}-{warm_fingerprint(method)}-{history}-{trainings}.json"
    path = folder / "histories" / name
    if not path.is_file():
        warm_start = _searched(suite, method, history, trainings)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{seed}.tmp")
        temporary.write_text(warm_start.model_dump_json() + "\n", encoding="utf-8")
        temporary.replace(path)
    return _read(path)


@lru_cache(maxsize=HISTORIES)
def _read(path: Path) -> WarmStart:
    return WarmStart.model_validate_json(path.read_text("utf-8"))


def _searched(
    suite: Suite, method: EngineMethod, seed: int, trainings: int
) -> WarmStart:
    studies = []
    for task in suite.others:
        problem = suite.problem(task)
        simulation = Simulation(problem, method.engine(problem), seed=seed)
        _, state = simulation.run(trainings * problem.epochs)
        studies.append(EarlierStudy.of(task, "simulated", state.trials))
    return carry_over(studies, suite.space, {})
