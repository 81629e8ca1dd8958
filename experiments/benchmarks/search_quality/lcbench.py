"""Tasks of the LCBench surrogate: learning curves of small networks, in a millisecond.

The surrogate is that of YAHPO Gym (Pfisterer et al., AutoML 2022, arXiv:2109.03670)
for LCBench (Zimmer et al., arXiv:2006.13799): 52 epochs, seven hyperparameters.
Minimised is 1 − balanced validation accuracy. `--data` names the folder with
`model.onnx`, `config_space.json`, `encoding.json` and `reference.json`; onnxruntime
runs it (`pip install -e .[benchmark]`).
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.search_quality.problem import Curve
from search.space import FlatConfiguration, Space
from sitenet_core.errors import DataError

TASKS = (
    *("3945", "34539", "126026", "146212", "167149", "167161"),
    *("167181", "167185", "167200", "168329", "168331", "168868"),
)
"""The tasks of the published table, and the only ones that anything is tuned on."""
EPOCHS = 52
INPUTS = (
    *("batch_size", "learning_rate", "momentum", "weight_decay"),
    *("num_layers", "max_units", "max_dropout"),
)
"""Hyperparameters in the order of the surrogate's input, after the epoch."""
WHOLE = frozenset({"batch_size", "max_units", "num_layers"})
"""Rounded to whole numbers, in our own space too: it has no logarithmic integers."""
_TIME, _BALANCED_ACCURACY = 0, 3
_SHORTEST = 1e-3
"""Seconds; the surrogate's time is not quite monotonic over the epochs."""


@dataclass(frozen=True)
class Surrogate:
    """The folder's model and constants, one per process."""

    folder: Path

    @cached_property
    def session(self) -> Any:
        """The model, opened when the first curve is asked for."""
        return _session(self.folder / "model.onnx")

    @cached_property
    def reference(self) -> dict[str, dict[str, float]]:
        """Task → `best` and `median`, the scale of the regret."""
        tasks: dict[str, dict[str, float]] = self._read("reference.json")["tasks"]
        return tasks

    @cached_property
    def codes(self) -> dict[str, int]:
        """Task → its index in the model's input."""
        codes: dict[str, int] = self._read("encoding.json")["OpenML_task_id"]
        return codes

    @cached_property
    def space(self) -> Space:
        """The seven hyperparameters as a space of ours."""
        declared = self._read("config_space.json")["hyperparameters"]
        by_name = {entry["name"]: entry for entry in declared}
        parameters = {name: _parameter(by_name[name]) for name in INPUTS}
        return Space.model_validate(
            {
                "name": "lcbench",
                "family": "lcbench",
                "preset": "none",
                "parameters": parameters,
            }
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """See `TASKS`."""
        return TASKS

    def problem(self, task: str) -> "LcbenchTask":
        """Return one task."""
        return LcbenchTask(self, task)

    @property
    def others(self) -> tuple[str, ...]:
        """The tasks that are not in the table: earlier studies for the warm start."""
        return tuple(task for task in self.reference if task not in TASKS)

    def predict(self, task: str, flat: FlatConfiguration) -> Curve:
        """Return the learning curve of `flat` on `task`, all epochs in one call."""
        inputs = np.empty((EPOCHS, 1 + len(INPUTS)), np.float32)
        inputs[:, 0] = np.arange(1, EPOCHS + 1)
        inputs[:, 1:] = [_number(flat, name) for name in INPUTS]
        codes = np.full((EPOCHS, 1), self.codes[task], np.int32)
        (output,) = self.session.run(None, {"x_cat": codes, "x_cont": inputs})
        found = np.asarray(output, np.float64)
        total = np.maximum.accumulate(found[:, _TIME])
        return Curve(
            values=1 - found[:, _BALANCED_ACCURACY],
            seconds=np.maximum(np.diff(total, prepend=0), _SHORTEST),
        )

    def _read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text("utf-8"))


@dataclass(frozen=True)
class LcbenchTask:
    """One task of the surrogate as a problem."""

    surrogate: Surrogate
    name: str
    epochs: int = EPOCHS

    @property
    def space(self) -> Space:
        """See `Surrogate.space`."""
        return self.surrogate.space

    def curve(self, flat: FlatConfiguration) -> Curve:
        """See `Surrogate.predict`."""
        return self.surrogate.predict(self.name, flat)

    def regret(self, value: float) -> float:
        """Return the normalised regret by the constants of `reference.json`."""
        scale = self.surrogate.reference[self.name]
        return (value - scale["best"]) / (scale["median"] - scale["best"])


def _number(flat: FlatConfiguration, name: str) -> float:
    value = float(flat[name] or 0)
    return float(round(value)) if name in WHOLE else value


def _parameter(declared: dict[str, Any]) -> dict[str, Any]:
    low, high = declared["lower"], declared["upper"]
    if declared["type"] == "uniform_int" and not declared["log"]:
        return {"type": "integer", "low": low, "high": high}
    return {
        "type": "float",
        "low": float(low),
        "high": float(high),
        "log": declared["log"],
    }


def _session(model: Path) -> Any:
    if not model.is_file():
        raise DataError(f"{model}: no such file; --data names the folder that has it")
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(
            "the LCBench surrogate needs onnxruntime: pip install -e '.[benchmark]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"]
    )
