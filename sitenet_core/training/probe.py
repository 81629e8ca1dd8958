"""What a few real training steps take, measured in a process of their own.

A probe trains through `fit`, so that it measures what a trial does: groups, backward
pass, clipping, optimiser, checkpoints.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sitenet_core.config import SplitConfig, TargetConfig, TrialConfig, merge
from sitenet_core.data.split import Split
from sitenet_core.data.store import PackedStore
from sitenet_core.data.verification import open_verified
from sitenet_core.errors import DataError, InfrastructureError
from sitenet_core.families import ModelFamily, get_family
from sitenet_core.training.crystals import first_batches
from sitenet_core.training.fit import fit
from sitenet_core.training.forecast import store_sizes
from sitenet_core.training.machine import Device, peak_bytes
from sitenet_core.training.options import FitOptions, TrainingData

_STATUS = Path("/proc/self/status")
_KIB = 1024


@dataclass(frozen=True)
class Probe:
    """What is trained, as another process can read it."""

    store: Path
    config: dict[str, Any]
    """Nested, JSON types."""
    device: Device
    threads: int
    crystals: int = 16
    """An epoch has as many declared batches as hold this many."""
    epochs: int = 1
    """Epochs that are measured, after one that is not; the fastest counts."""
    seed: int = 0
    """Decides which crystals."""

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps({**asdict(self), "store": str(self.store)})

    @classmethod
    def read(cls, text: str) -> "Probe":
        """Return the probe that `text` holds."""
        content = json.loads(text)
        return cls(**{**content, "store": Path(content["store"])})


@dataclass(frozen=True)
class Measurement:
    """What an epoch of a probe took."""

    seconds: float
    """One thread: processor seconds, whatever else the machine does; else wall time."""
    peak_bytes: int
    """Above what the process has after imports and a step on a single crystal."""
    process_bytes: int
    """What it has then; 0 on a GPU."""


def chosen_rows(
    family: ModelFamily, config: TrialConfig, store: PackedStore, probe: Probe
) -> np.ndarray:
    """Return the rows of the store that a probe trains on, its first batches."""
    sizes = store_sizes(family, store)
    batches = first_batches(sizes, *family.batch_budget(config), probe.seed)
    held = np.cumsum([len(batch) for batch in batches])
    count = int(np.searchsorted(held, probe.crystals)) + 1
    return np.concatenate(batches[:count])


def measure_apart(probe: Probe) -> Measurement:
    """Measure in a fresh process, whose peak memory is that of the probe alone.

    Raises:
        InfrastructureError: if it fails, with the last line that it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "sitenet_core.training.probe"],
        input=probe.text(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise InfrastructureError(
            f"a probe of {probe.store.name} on {probe.device} failed: {lines[-1]}; "
            "train this configuration once by hand to see why"
        )
    return Measurement(**json.loads(done.stdout.strip().splitlines()[-1]))


def measure(probe: Probe) -> Measurement:
    """Measure in this process."""
    family = get_family(probe.config["family"])
    changes = {"training": {"epochs": probe.epochs + 1}}
    config = family.Config.model_validate(merge(probe.config, changes))
    store = open_verified(probe.store)
    rows = chosen_rows(family, config, store, probe)
    smallest = rows[[int(np.argmin(store.sizes(family.schema[-1].scope)[rows]))]]
    _marks(config, store, smallest, probe)
    before = _resident()
    marks = _marks(config, store, rows, probe)
    peak = peak_bytes(probe.device) if probe.device == "gpu" else _peak() - before
    return Measurement(float(np.diff(marks).min()), peak, before)


def _marks(
    config: TrialConfig, store: PackedStore, rows: np.ndarray, probe: Probe
) -> list[float]:
    """Train; return the clock at the end of every epoch."""
    one_thread = probe.device == "cpu" and probe.threads == 1
    clock = time.process_time if one_thread else time.perf_counter
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        options = FitOptions(Path(folder), threads=probe.threads, device=probe.device)
        fit(config, _data(store, rows), options, lambda _: marks.append(clock()))
    return marks


def _data(store: PackedStore, rows: np.ndarray) -> TrainingData:
    """Return crystals to train on, and none to validate on."""
    column = _column(store)
    split = Split(
        column=column,
        config=SplitConfig(),
        cell_limit=1,
        store_digest=store.digest,
        train=tuple(store.ids[row] for row in np.sort(rows)),
        validation=(),
        test=(),
    )
    target = TargetConfig(column=column, name=column, unit="")
    return TrainingData(store, split, target, "train+validation")


def _column(store: PackedStore) -> str:
    for column in sorted(store.header.labels):
        if np.isfinite(store.labels(column)).all():
            return column
    raise DataError(
        f"{store.path}: no column of labels has a value for every crystal, so that "
        "nothing can be trained on it; build the store of a data set with labels"
    )


def _resident() -> int:
    return _status("VmRSS") or 0


def _peak() -> int:
    return _status("VmHWM") or peak_bytes("cpu")


def _status(key: str) -> int | None:
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * _KIB
    return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(Probe.read(sys.stdin.read())))) + "\n")
