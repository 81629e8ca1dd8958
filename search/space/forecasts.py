"""What the configurations of a space are expected to take on a store and a machine."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search.space.space import Space
from sitenet_core.config import unflatten
from sitenet_core.data import PackedStore
from sitenet_core.families import get_family
from sitenet_core.training.calibrating import Calibrating, calibrated
from sitenet_core.training.calibration import Calibration
from sitenet_core.training.checks import check_store
from sitenet_core.training.forecast import Forecast, forecast, store_sizes
from sitenet_core.training.machine import Device

_SAMPLES = 32
_MIB = 2**20


@dataclass(frozen=True)
class ForecastRow:
    """One line of a preview."""

    case: str
    """The preset, or lowest, median or highest of the sampled configurations."""
    peak_bytes: int
    """Memory above `process_bytes`."""
    seconds_per_epoch: float
    process_bytes: int
    """What a process has before its first step."""
    device: Device
    """What a training runs on; the time is for this."""
    threads: int
    """Threads of a training on the CPU; the time is for as many."""

    def line(self) -> str:
        """Return it for a terminal."""
        memory = (self.peak_bytes + self.process_bytes) / _MIB
        return (
            f"{self.case}: {memory:,.0f} MiB ({self.peak_bytes / _MIB:,.0f} above "
            f"imports), {self.seconds_per_epoch:,.1f} s per epoch {self._where()}"
        )

    def _where(self) -> str:
        threads = f"{self.threads} CPU thread{'s' * (self.threads != 1)}"
        return f"on the GPU with {threads}" if self.device == "gpu" else f"on {threads}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return asdict(self)


def space_forecast(
    space: Space, store: PackedStore, options: Calibrating
) -> list[ForecastRow]:
    """Return what the preset and sampled configurations take to train on a store.

    An epoch is one of every crystal of the store. The machine is calibrated on the
    store first, if it has not been.

    Raises:
        ConfigError: if the store has other cells than the configurations.
        DataError: if the store has no labels, or an earlier calibration is damaged.
        InfrastructureError: if a probe fails.
    """
    family, generator = get_family(space.family), np.random.default_rng(0)
    fixed = unflatten(space.fixed)
    preset = family.Config.from_preset(space.preset, fixed)
    flats = [space.sample(generator) for _ in range(_SAMPLES)]
    configs = [preset, *(space.configuration(flat) for flat in flats)]
    for config in configs:
        check_store(family, config, store)
    calibration = calibrated(family, store, options)
    sizes = store_sizes(family, store)
    found = [forecast(config, sizes, calibration) for config in configs]
    case = f"preset {space.preset}"
    peak_bytes, seconds = found[0].peak_bytes, found[0].seconds_per_epoch
    rows = [_row(case, peak_bytes, seconds, calibration)]
    return rows + _range(found[1:], calibration)


def _range(found: Sequence[Forecast], calibration: Calibration) -> list[ForecastRow]:
    peaks = sorted(one.peak_bytes for one in found)
    seconds = sorted(one.seconds_per_epoch for one in found)
    cases = {"lowest": 0, "median": len(found) // 2, "highest": len(found) - 1}
    return [
        _row(
            f"{case} of {len(found)} samples", peaks[index], seconds[index], calibration
        )
        for case, index in cases.items()
    ]


def _row(
    case: str, peak_bytes: int, seconds: float, calibration: Calibration
) -> ForecastRow:
    return ForecastRow(
        case=case,
        peak_bytes=peak_bytes,
        seconds_per_epoch=seconds,
        process_bytes=calibration.process_bytes,
        device=calibration.machine.device,
        threads=calibration.machine.threads,
    )
