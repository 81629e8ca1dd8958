"""One trial as the journal tells it: what searcher, scheduler and reports read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from search.space.values import FlatConfiguration
from search.trial.outcome import Outcome

Source = Literal["known_good", "portfolio", "searcher"]
"""Where a configuration comes from: the space file, an earlier study, the searcher."""


@dataclass(frozen=True)
class TrialRecord:
    """State of one trial; made by folding the journal's events, never edited."""

    number: int
    """Counts from 0 in the order of creation."""
    configuration: FlatConfiguration
    source: Source = "searcher"
    seed: int = 0
    outcome: Outcome | None = None
    """None while the trial is unfinished: running, paused at a rung or interrupted."""
    rung_values: Mapping[int, float] = field(default_factory=dict)
    """Epoch of a finished segment → `objective_at` that epoch, in the objective's unit.
    Rungs are never compared with each other."""
    arrivals: Mapping[int, int] = field(default_factory=dict)
    """Rung → how many trials of the study had reached it before this one."""
    epoch_values: Mapping[int, float] = field(default_factory=dict)
    """Epoch, counted from 1 → validation objective after it."""
    begins_after: int = 0
    """Epochs before the present training, which began anew at a higher level of the
    fidelity: what they led to is no value of it."""
    last_epoch: int = 0
    """Last epoch whose checkpoint is on disk; 0 before the first."""
    target_epoch: int | None = None
    """Epoch up to which the latest segment was asked to train; None before the first
    segment. An unfinished trial that is not running and has not reached it was
    interrupted, and goes on before anything else starts."""
    last_checkpoint: str | None = None
    """Where it goes on from; None before the first, or if it was given up."""
    attempts: int = 0
    """Segments started so far, lost ones included."""
    running: bool = False
    """Whether a segment is in the hands of a worker now."""
    bundle: str | None = None
    micro_batch: int | None = None
    """Largest micro-batch that a further segment may have, half of what ran out of
    memory; None as long as nothing did."""
    message: str = ""
    """What went wrong, for a person; empty if nothing did."""

    @property
    def interrupted(self) -> bool:
        """Whether a segment of this trial was begun (or due) and is not running."""
        if self.outcome is not None or self.running:
            return False
        return self.target_epoch is None or self.last_epoch < self.target_epoch

    @property
    def waiting(self) -> bool:
        """Whether this trial has reached a rung and waits there to go on."""
        if self.outcome is not None or self.running or self.interrupted:
            return False
        return self.last_epoch in self.rung_values

    @property
    def committed_epoch(self) -> int:
        """Last epoch that was handed out; of an ended trial the last trained."""
        if self.outcome is not None:
            return self.last_epoch
        return max(self.last_epoch, self.target_epoch or 0)

    @property
    def value(self) -> float | None:
        """Objective at the last rung that was reached; None before the first."""
        if not self.rung_values:
            return None
        return self.rung_values[max(self.rung_values)]


def objective_at(
    epoch_values: Mapping[int, float], epoch: int, begins_after: int = 0
) -> float | None:
    """Return the objective of a trial at `epoch`: the smallest finite value up to it.

    The best and not the last value counts, because the best checkpoint is what a trial
    hands on (bundle, promotion), and because the last value of a noisy curve makes a
    rung's ranking depend on which epoch the rung happens to fall on. This is the one
    definition: rungs, the searcher, `status` and promotion all use it.
    None if there is no finite value up to that epoch.

    Args:
        epoch_values: epoch, counted from 1 → validation objective after it.
        epoch: the last one that counts.
        begins_after: epochs before it belong to another training, and do not count.
    """
    values = [
        v
        for e, v in epoch_values.items()
        if begins_after < e <= epoch and math.isfinite(v)
    ]
    return min(values, default=None)
