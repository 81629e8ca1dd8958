"""Searches that begin with a history, be it true, none, or a lie."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from experiments.benchmarks.search_quality.methods import ENGINES, EngineMethod
from experiments.benchmarks.search_quality.problem import Suite
from experiments.benchmarks.search_quality.simulate import Simulation
from experiments.benchmarks.search_quality.warm import warm_fingerprint, warm_start_for
from search.engine.searchers.protocol import NO_EARLIER, Earlier
from search.engine.warm_start import EarlierStudy, WarmStart, carry_over

History = Literal["none", "true", "reversed", "reversed-own"]
"""What a search begins with: nothing; searches on the other tasks; the same with every
rank turned round, so that the worst configurations pass for the best; or a search on
the very task, turned round: nothing can mislead more."""
HISTORIES: tuple[History, ...] = get_args(History)
_HISTORY = 0
"""The same searches on the other tasks for every seed."""
_OWN_SEED = 2000
"""Seed of the searches on the very task: none that a measured search has."""


@dataclass(frozen=True)
class Search:
    """What one cached result is of."""

    method: str
    history: History
    task: str
    seed: int
    trainings: int
    """Budget in full trainings."""
    earlier_trainings: int
    """Budget of every earlier search."""

    @property
    def study_seed(self) -> int:
        """Seed of the search: another one for every task, the same for each history.

        One seed for all tasks would let a lucky first draw count once per task.
        """
        return zlib.crc32(f"{self.task} {self.seed}".encode()) >> 1

    def path(self, folder: Path) -> Path:
        """Return where the result is kept."""
        words = [self.method, str(self.trainings), str(self.earlier_trainings)]
        place = folder / "-".join([*words, self.history])
        return place / f"{self.task}-{self.seed}.json"

    @property
    def engine(self) -> EngineMethod:
        """The engine under test."""
        return ENGINES[self.method]

    def result(self, suite: Suite, folder: Path) -> tuple[float, ...]:
        """Return the cached regrets; search if there are none, or of other code.

        They are (trainings,), each after one more full training.
        """
        path = self.path(folder)
        fingerprint = f"{warm_fingerprint(self.engine)}-{self.study_seed}"
        if path.is_file():
            content = json.loads(path.read_text("utf-8"))
            if content["fingerprint"] == fingerprint:
                return tuple(content["regrets"])
        regrets = self._regrets(suite, folder)
        content = {**asdict(self), "fingerprint": fingerprint, "regrets": regrets}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
        temporary.replace(path)
        return regrets

    def _regrets(self, suite: Suite, folder: Path) -> tuple[float, ...]:
        problem = suite.problem(self.task)
        engine = self.engine.engine(problem, self._earlier(suite, folder))
        epochs = self.trainings * problem.epochs
        trace, _ = Simulation(problem, engine, seed=self.study_seed).run(epochs)
        return tuple(
            problem.regret(trace.best_at(count * problem.epochs))
            for count in range(1, self.trainings + 1)
        )

    def _earlier(self, suite: Suite, folder: Path) -> Earlier:
        if self.history == "none":
            return NO_EARLIER
        if self.history == "reversed-own":
            study = _own_search(self, suite, folder)
            return _reversed(suite, (study,)).earlier(suite.space, {})
        warm_start = warm_start_for(
            suite, self.engine, _HISTORY, self.earlier_trainings, folder
        )
        if self.history == "reversed":
            warm_start = _reversed(suite, warm_start.studies)
        return warm_start.earlier(suite.space, {})


def _reversed(suite: Suite, studies: Sequence[EarlierStudy]) -> WarmStart:
    """Return what is carried over of `studies` whose ranks are turned round."""
    lies = [reversed_study(study) for study in studies]
    return carry_over(lies, suite.space, {})


def reversed_study(study: EarlierStudy) -> EarlierStudy:
    """Return `study` with its worst configurations as its best."""
    content = study.model_dump()
    for trial in content["trials"]:
        trial["rank"] = 1 - trial["rank"]
    return EarlierStudy.model_validate(content)


def _own_search(search: Search, suite: Suite, folder: Path) -> EarlierStudy:
    """Return a search from nothing on the task of `search`, kept between runs."""
    engine = search.engine
    words = [engine.searcher, warm_fingerprint(engine), search.task]
    name = "-".join([*words, f"{search.earlier_trainings}.json"])
    path = folder / "histories" / name
    if not path.is_file():
        problem = suite.problem(search.task)
        simulation = Simulation(problem, engine.engine(problem), seed=_OWN_SEED)
        _, state = simulation.run(search.earlier_trainings * problem.epochs)
        study = EarlierStudy.of(search.task, "simulated", state.trials)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(study.model_dump_json() + "\n", encoding="utf-8")
        temporary.replace(path)
    return EarlierStudy.model_validate_json(path.read_text("utf-8"))
