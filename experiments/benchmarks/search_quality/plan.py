"""Which searches a run of the benchmark consists of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.benchmarks.search_quality.jobs import Job
from experiments.benchmarks.search_quality.methods import METHODS, OURS, PEERS, Peer

WORKERS = (4, 16)
FAILING = (25, 50)
PARTS = ("cold", "workers", "failing", "warm")


@dataclass(frozen=True)
class Plan:
    """Sizes of a run; the defaults are those of the report."""

    seeds: int = 20
    trainings: int = 50
    """Budget of each search in full trainings."""
    parts: tuple[str, ...] = PARTS
    methods: tuple[str, ...] = tuple(METHODS)
    """Those of the part `cold`; the others are about the engine alone."""

    def jobs(self, tasks: Sequence[str]) -> list[Job]:
        """Return all searches, every seed complete before the next begins."""
        return [
            job
            for seed in range(self.seeds)
            for part in self.parts
            for job in self._of(part, tasks, seed)
        ]

    def _of(self, part: str, tasks: Sequence[str], seed: int) -> list[Job]:
        names = self._cold(seed) if part == "cold" else (OURS,)
        cold = [
            Job(name, task, seed, trainings=self.trainings)
            for task in tasks
            for name in names
        ]
        if part == "workers":
            return [replace(job, workers=count) for job in cold for count in WORKERS]
        if part == "failing":
            return [replace(job, failing=share) for job in cold for share in FAILING]
        return [replace(job, warm=part == "warm") for job in cold]

    def _cold(self, seed: int) -> tuple[str, ...]:
        """Return peers first, then engines; those that still have seeds."""
        ordered = sorted(self.methods, key=lambda name: name not in PEERS)
        return tuple(name for name in ordered if seed < _max_seeds(name, self.seeds))


def _max_seeds(name: str, seeds: int) -> int:
    method = METHODS[name]
    if isinstance(method, Peer) and method.max_seeds is not None:
        return min(method.max_seeds, seeds)
    return seeds
