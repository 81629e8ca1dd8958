"""All results of a run, looked up by what they are of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from experiments.benchmarks.search_quality.comparison import Block
from experiments.benchmarks.search_quality.jobs import Job, Result
from experiments.benchmarks.search_quality.problem import FloatArray


@dataclass(frozen=True)
class Results:
    """Variant (`Job.variant`) → task and seed → result."""

    by_variant: Mapping[str, Mapping[Block, Result]] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Iterable[Result]) -> "Results":
        """Return results in any order, looked up."""
        found: dict[str, dict[Block, Result]] = {}
        for result in results:
            job = result.job
            found.setdefault(job.variant, {})[job.task, job.seed] = result
        return cls(found)

    def has(self, variant: str) -> bool:
        """Return whether there is any result of `variant`."""
        return variant in self.by_variant

    def regrets(self, variant: str, trainings: int) -> dict[Block, float]:
        """Return block → regret after `trainings` full trainings; empty if unknown."""
        results = self.by_variant.get(variant, {})
        return {
            block: result.regrets[trainings - 1]
            for block, result in results.items()
            if len(result.regrets) >= trainings
        }

    def curve(self, variant: str) -> FloatArray:
        """Return (trainings,) mean regret over tasks of the mean over their seeds."""
        tasks: dict[str, list[tuple[float, ...]]] = {}
        for (task, _), result in self.by_variant[variant].items():
            tasks.setdefault(task, []).append(result.regrets)
        means = [np.mean(regrets, axis=0) for regrets in tasks.values()]
        return np.asarray(np.mean(means, axis=0))

    def seeds(self, variant: str) -> int:
        """Return how many seeds the task with the most has."""
        counts: dict[str, int] = {}
        for task, _ in self.by_variant.get(variant, {}):
            counts[task] = counts.get(task, 0) + 1
        return max(counts.values(), default=0)

    def late_failures(self, variant: str) -> dict[Block, float]:
        """Return block → share of failing proposals after the 30th."""
        shares = {
            block: result.late_failures
            for block, result in self.by_variant.get(variant, {}).items()
        }
        return {block: share for block, share in shares.items() if share is not None}


def variant(
    method: str, *, workers: int = 1, failing: int = 0, warm: bool = False
) -> str:
    """Return the name of a method's variant, see `Job`."""
    return Job(method, "", 0, workers=workers, failing=failing, warm=warm).variant
