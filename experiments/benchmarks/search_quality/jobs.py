"""One search of one method on one task, and where its result is kept."""

import json
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.search_quality.methods import METHODS, EngineMethod
from experiments.benchmarks.search_quality.problem import Problem, Suite
from experiments.benchmarks.search_quality.regions import FailingRegion
from experiments.benchmarks.search_quality.simulate import Simulation, Trace
from experiments.benchmarks.search_quality.warm import earlier_for, warm_fingerprint
from search.engine.searchers.protocol import NO_EARLIER, Earlier
from sitenet_core.errors import ConfigError


@dataclass(frozen=True)
class Job:
    """What one cached result is of."""

    method: str
    task: str
    seed: int
    workers: int = 1
    failing: int = 0
    """Percent of the space that fails."""
    warm: bool = False
    """Begin with what searches on the other tasks tell."""
    trainings: int = 50
    """Budget in full trainings."""

    @property
    def variant(self) -> str:
        """The method with everything but task and seed: names a folder."""
        words = [self.method]
        words += [f"w{self.workers}"] * (self.workers > 1)
        words += [f"failing{self.failing}"] * (self.failing > 0)
        words += ["warm"] * self.warm
        return "-".join(words)

    @property
    def study_seed(self) -> int:
        """Seed of the search, another one for every task.

        One seed for all tasks would let a lucky first draw count once per task.
        """
        return zlib.crc32(f"{self.task} {self.seed}".encode()) >> 1

    def path(self, folder: Path) -> Path:
        """Return where the result is kept."""
        return folder / self.variant / f"{self.task}-{self.seed}.json"


@dataclass(frozen=True)
class Result:
    """What is kept of one search."""

    job: Job
    regrets: tuple[float, ...]
    """(trainings,) normalised regret after each full training's worth of epochs."""
    failed: tuple[bool, ...]
    """Per trial in the order of proposal."""
    seconds: float
    """Wall time of the simulation."""

    @property
    def late_failures(self) -> float | None:
        """Share of failing proposals after the 30th; None without any."""
        late = self.failed[30:]
        return sum(late) / len(late) if late else None


def fingerprint(job: Job) -> str:
    """Return what has to be equal for a cached result to be that of the job."""
    method = METHODS[job.method]
    found = method.fingerprint
    if job.warm and isinstance(method, EngineMethod):
        found = warm_fingerprint(method)
    return f"{found}-{job.study_seed}-{job.trainings}"


def run_job(job: Job, suite: Suite, folder: Path) -> Result:
    """Search; equal jobs give equal regrets.

    Args:
        job: what is searched.
        suite: where its task is from.
        folder: of the cache, for the histories of a warm start.
    """
    began = time.perf_counter()
    problem = suite.problem(job.task)
    if job.failing:
        problem = FailingRegion(problem, job.failing / 100)
    earlier = NO_EARLIER
    method = METHODS[job.method]
    if job.warm and isinstance(method, EngineMethod):
        earlier = earlier_for(suite, method, job.seed, job.trainings, folder)
    trace = _trace(job, problem, earlier)
    regrets = tuple(
        problem.regret(trace.best_at(count * problem.epochs))
        for count in range(1, job.trainings + 1)
    )
    return Result(job, regrets, trace.failed, round(time.perf_counter() - began, 3))


def _trace(job: Job, problem: Problem, earlier: Earlier) -> Trace:
    method, epochs = METHODS[job.method], job.trainings * problem.epochs
    if isinstance(method, EngineMethod):
        engine = method.engine(problem, earlier)
        simulation = Simulation(
            problem, engine, seed=job.study_seed, workers=job.workers
        )
        return simulation.run(epochs)[0]
    if job.workers > 1 or job.warm:
        raise ConfigError(f"{job.method} is measured cold and with one worker only")
    return method.run(problem, job.study_seed, epochs)


def load_result(job: Job, folder: Path) -> Result | None:
    """Return the cached result; None if there is none, or it is of other code."""
    path = job.path(folder)
    if not path.is_file():
        return None
    content = json.loads(path.read_text("utf-8"))
    if content["fingerprint"] != fingerprint(job):
        return None
    failed = tuple(letter == "1" for letter in content["failed"])
    return Result(job, tuple(content["regrets"]), failed, content["seconds"])


def save_result(result: Result, folder: Path) -> None:
    """Keep a result: complete or not at all, whenever the run is interrupted."""
    content: dict[str, Any] = {
        **asdict(result.job),
        "fingerprint": fingerprint(result.job),
        "regrets": list(result.regrets),
        "failed": "".join(str(int(failed)) for failed in result.failed),
        "seconds": result.seconds,
    }
    path = result.job.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
    temporary.replace(path)
