"""How fast a machine works and what its memory holds besides: fitted to probes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sitenet_core.errors import DataError
from sitenet_core.training.machine import Device

FORMAT = 2
"""Raised whenever the meaning of a field changes; `Machine.counts` is of the counts."""
STATE_BYTES = 32
"""Bytes of a parameter: weight, gradient, two moments, and their copies for a
checkpoint and for the best weights so far."""


@dataclass(frozen=True)
class Amounts:
    """What an epoch does, and the most that it keeps at once."""

    steps: int
    groups: int
    flops: float
    numbers: float
    """Elementwise work, see `families.Cost`."""
    kept_bytes: float
    """Of the largest group."""
    parameters: int

    @property
    def work(self) -> tuple[float, ...]:
        """What takes time, in the order of `Calibration.per_work`."""
        return (self.flops, self.numbers, float(self.groups), float(self.steps))

    @property
    def memory(self) -> tuple[float, ...]:
        """What takes memory, in the order of `Calibration.per_byte`."""
        return (self.kept_bytes, 1.0)

    @property
    def state_bytes(self) -> float:
        """What weights, optimiser and checkpoint take anywhere."""
        return float(STATE_BYTES * self.parameters)


@dataclass(frozen=True)
class Machine:
    """What a calibration holds for, and nothing else."""

    family: str
    feature_version: int
    device: Device
    device_name: str
    threads: int
    torch: str
    counts: str
    """Digest of what the family counts; other counts need other coefficients."""


@dataclass(frozen=True)
class Probed:
    """What a probe did, and what it took."""

    amounts: Amounts
    seconds: float
    peak_bytes: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Probed":
        """Return what `asdict` made of one."""
        return cls(**{**row, "amounts": Amounts(**row["amounts"])})


@dataclass(frozen=True)
class Calibration:
    """Coefficients of a machine, none of them negative."""

    machine: Machine
    memory_bytes: int | None
    """Free memory of a GPU, which decides the groups; None for a CPU."""
    process_bytes: int
    """What a process has before its first step: imports, libraries, compiled code."""
    per_work: tuple[float, ...]
    """Seconds per flop, number, group and step."""
    per_byte: tuple[float, ...]
    """Bytes per kept byte, and at any rate, besides weights and optimiser."""
    probed: tuple[Probed, ...]
    """What they were fitted to."""

    def seconds(self, amounts: Amounts) -> float:
        """Return the seconds of an epoch."""
        return float(np.dot(amounts.work, self.per_work))

    def peak_bytes(self, amounts: Amounts) -> float:
        """Return the peak of memory above `process_bytes`."""
        return amounts.state_bytes + float(np.dot(amounts.memory, self.per_byte))

    def save(self, path: Path) -> None:
        """Write it as JSON, at once and complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.partial")
        content = {"format": FORMAT, **asdict(self)}
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read a calibration.

        Raises:
            DataError: if the file is not one of this version.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls._of(content)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: is not a calibration of this version ({error}); remove it, "
                "and the next forecast measures anew"
            ) from error

    @classmethod
    def _of(cls, content: dict[str, Any]) -> "Calibration":
        found = content["format"]
        if found != FORMAT:
            raise ValueError(f"format {found!r} instead of {FORMAT}")
        values = {field.name: content[field.name] for field in fields(cls)}
        values["machine"] = Machine(**values["machine"])
        for name in ("per_work", "per_byte"):
            values[name] = tuple(float(number) for number in values[name])
        values["probed"] = tuple(Probed.of(row) for row in values["probed"])
        return cls(**values)


def fit_calibration(
    machine: Machine,
    probed: Sequence[Probed],
    process_bytes: int,
    memory_bytes: int | None = None,
) -> Calibration:
    """Return the coefficients with the smallest relative errors over the probes."""
    work = np.array([p.amounts.work for p in probed])
    memory = np.array([p.amounts.memory for p in probed])
    seconds = np.array([p.seconds for p in probed])
    peaks = np.array([max(p.peak_bytes - p.amounts.state_bytes, 1.0) for p in probed])
    return Calibration(
        machine=machine,
        memory_bytes=memory_bytes,
        process_bytes=process_bytes,
        per_work=non_negative(work, seconds),
        per_byte=non_negative(memory, peaks),
        probed=tuple(probed),
    )


def non_negative(columns: np.ndarray, measured: np.ndarray) -> tuple[float, ...]:
    """Return coefficients c ≥ 0 with the least Σ (columns·c / measured - 1)².

    With so few columns every set of those that are not 0 can be tried.

    Args:
        columns: (n, k) amounts.
        measured: (n,) positive.
    """
    rows = columns / measured[:, None]
    scale = np.abs(rows).max(axis=0)
    scale[scale == 0] = 1.0
    rows = rows / scale
    best, least = np.zeros(columns.shape[1]), np.inf
    for chosen in range(1, 2 ** columns.shape[1]):
        used = [k for k in range(columns.shape[1]) if chosen >> k & 1]
        found = np.linalg.lstsq(rows[:, used], np.ones(len(rows)), rcond=None)[0]
        error = float(np.square(rows[:, used] @ found - 1).sum())
        if (found >= 0).all() and error < least:
            best, least = np.zeros_like(best), error
            best[used] = found
    return tuple(float(value) for value in best / scale)
