"""How much memory a training will take, and in which groups it fits into what it has.

The groups decide memory and speed alone: their gradients add up to that of the declared
batch (`TrainingModule`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sitenet_core.config import TrialConfig
from sitenet_core.families import Cost, MicroBatch, ModelFamily, get_family
from sitenet_core.training.calibration import STATE_BYTES, Calibration
from sitenet_core.training.crystals import Batching, Crystals, Sizes
from sitenet_core.training.forecast import n_parameters
from sitenet_core.training.machine import Device
from sitenet_core.training.splitting import in_use, smallest_budget

_MIB = 2**20
_GUESSED_PROCESS: dict[Device, int] = {"cpu": 700 * _MIB, "gpu": 600 * _MIB}
"""Imports, libraries and compiled code (measured: 540 to 580 MiB, and what a worker of
Ray has besides); on a GPU its context."""
_GUESSED_PER_KEPT: dict[Device, float] = {"cpu": 1.25, "gpu": 4.0}
"""Bytes per counted byte: 1.00 was measured on a CPU, with errors of up to a fifth; on
a GPU torch's own operations keep up to four times as much."""
_GUESSED_BESIDES = 64.0 * _MIB


@dataclass(frozen=True)
class MemoryModel:
    """What makes counted bytes a peak, of one kind of machine."""

    device: Device
    threads: int
    per_kept: float
    """Bytes per byte that the groups keep."""
    besides: float
    """Bytes of a step at any rate."""
    process_bytes: int
    """Of the process, before its first step."""
    groups_counted: bool = False
    """Whether `per_kept` holds the groups that several threads work on at once."""

    @classmethod
    def guessed(cls, device: Device, threads: int) -> "MemoryModel":
        """Return a careful model for a machine that nobody has measured."""
        return cls(
            device,
            threads,
            _GUESSED_PER_KEPT[device],
            _GUESSED_BESIDES,
            _GUESSED_PROCESS[device],
        )

    @classmethod
    def calibrated(cls, calibration: Calibration, threads: int) -> "MemoryModel":
        """Return what was measured, on as many threads or on one."""
        device = calibration.machine.device
        per_kept, besides = calibration.per_byte
        return cls(
            device,
            threads,
            per_kept,
            besides,
            # A GPU has its context too, which is not in what torch allocates.
            calibration.process_bytes or _GUESSED_PROCESS[device],
            groups_counted=calibration.machine.threads == threads,
        )

    def peak_bytes(self, kept_bytes: float, parameters: int) -> float:
        """Return the peak of a process whose groups keep so much at once."""
        state = float(STATE_BYTES * parameters)
        return self.process_bytes + state + self.besides + self.per_kept * kept_bytes


@dataclass(frozen=True)
class MemoryPlan:
    """How a training is divided, and what is expected of it."""

    micro_batch: int
    """As in `FitOptions`."""
    in_use: int
    """What a group has of the largest batch, if that is less: only below it does
    another micro-batch take less memory."""
    smallest: bool
    """Whether it cannot be divided further."""
    predicted_bytes: int
    """Peak of its process; on a GPU, of what it takes there."""
    memory_bytes: int | None
    """What it may use; None if that is not known."""

    @property
    def fits(self) -> bool:
        """Whether it is expected to run."""
        return self.memory_bytes is None or self.predicted_bytes <= self.memory_bytes


def plan_memory(
    config: TrialConfig,
    crystals: Crystals,
    model: MemoryModel,
    memory_bytes: int | None,
    most: int | None = None,
) -> MemoryPlan:
    """Return the largest groups with which a training fits, or else the smallest.

    They are what suits the device, or that halved as often as it takes.

    Args:
        config: what is trained.
        crystals: that it is trained on.
        model: what becomes of counted bytes.
        memory_bytes: what it may use; None if that is not known.
        most: largest group that it may have, after lack of memory; None is no limit.
    """
    family = get_family(config.family)
    micro = family.micro_batch(config, memory_bytes if model.device == "gpu" else None)
    step = _Step.of(family, config, crystals.batching(family, config, micro.unit))
    largest = step.batching.largest
    at_once = model.threads if model.device == "cpu" else 1
    budget = micro.budget if most is None else min(micro.budget, most)
    least = smallest_budget(micro, crystals.sizes[micro.unit])
    for candidate in _candidates(budget, largest, least):
        tried, smallest = replace(micro, budget=candidate), candidate <= least
        together = 1 if model.groups_counted or smallest else at_once
        peak = round(
            model.peak_bytes(step.kept_bytes(tried, together), step.parameters)
        )
        used = in_use(tried, largest, at_once)
        plan = MemoryPlan(candidate, used, smallest, peak, memory_bytes)
        if plan.fits or smallest:
            return plan
    raise RuntimeError("the smallest group was not among those that were tried")


def _candidates(budget: int, largest: int, least: int) -> Iterator[int]:
    """Yield a budget, then halves of it down to the least."""
    yield budget
    # Above the largest batch no budget changes anything; the least ends the line.
    budget = min(budget, max(largest, least + 1))
    while budget > least:
        budget = max(least, budget // 2)
        yield budget


@dataclass(frozen=True)
class _Step:
    """What a step of a configuration takes, however its batch is divided."""

    batching: Batching
    parameters: int
    whole: Cost
    """Of the crystals, in the order of the batching."""
    parts: Cost
    """The same in a group above its budget."""

    @classmethod
    def of(
        cls, family: ModelFamily, config: TrialConfig, batching: Batching
    ) -> "_Step":
        whole, parts = (
            family.cost(batching.sizes, config, in_parts=in_parts)
            for in_parts in (False, True)
        )
        return cls(batching, n_parameters(family, config), whole, parts)

    def kept_bytes(self, micro: MicroBatch, together: int) -> float:
        """Return the most that so many groups together keep."""
        joined = micro.budget * together if micro.splits else micro.budget
        micro = replace(micro, budget=joined)
        return self.batching.kept_bytes(micro, self.whole, self.parts)


def some_crystals(sizes: Sizes, most: int) -> Sizes:
    """Return at most `most` crystals to plan with, the largest of all among them."""
    columns = {name: np.asarray(column).ravel() for name, column in sizes.items()}
    n = len(next(iter(columns.values())))
    if n <= most:
        return columns
    rows = np.random.default_rng(0).choice(n, most, replace=False)
    largest = [int(column.argmax()) for column in columns.values()]
    chosen = np.union1d(rows, largest)
    return {name: column[chosen] for name, column in columns.items()}
