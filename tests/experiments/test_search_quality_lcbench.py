"""The surrogate's space, scale and input, without the package that runs it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks.search_quality.lcbench import EPOCHS, INPUTS, Surrogate
from sitenet_core.errors import DataError


@dataclass
class Recorded:
    """A session that keeps its input and answers with a known table."""

    output: np.ndarray
    given: list[dict[str, np.ndarray]] = field(default_factory=list)

    def run(self, _names: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.given.append(given)
        return [self.output]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def entry(name: str, kind: str, low: float, high: float, *, log: bool) -> Any:
        kind = f"uniform_{kind}"
        return {"name": name, "type": kind, "lower": low, "upper": high, "log": log}

    declared = [
        entry("batch_size", "int", 16, 512, log=True),
        entry("learning_rate", "float", 1e-4, 0.1, log=True),
        entry("momentum", "float", 0.1, 0.99, log=False),
        entry("weight_decay", "float", 1e-5, 0.1, log=False),
        entry("num_layers", "int", 1, 5, log=False),
        entry("max_units", "int", 64, 1024, log=True),
        entry("max_dropout", "float", 0.0, 1.0, log=False),
        entry("epoch", "int", 1, 52, log=False),
    ]
    tasks = {"3945": {"best": 0.1, "median": 0.3}, "7593": {"best": 0, "median": 1}}
    contents = {
        "config_space.json": {"hyperparameters": declared},
        "encoding.json": {"OpenML_task_id": {"3945": 34, "7593": 35}},
        "reference.json": {"tasks": tasks},
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
    return tmp_path


def test_the_space_has_the_ranges_and_scales_that_the_surrogate_declares(
    folder: Path,
) -> None:
    space = Surrogate(folder).space
    assert tuple(space.parameters) == INPUTS
    middle = space.from_units([0.5] * len(INPUTS))
    assert middle["batch_size"] == pytest.approx((16 * 512) ** 0.5)
    assert middle["learning_rate"] == pytest.approx((1e-4 * 0.1) ** 0.5)
    assert middle["weight_decay"] == pytest.approx(0.050005)
    assert middle["num_layers"] == 3


def test_regret_is_zero_at_the_best_and_one_at_the_median(folder: Path) -> None:
    task = Surrogate(folder).problem("3945")
    assert task.regret(0.1) == pytest.approx(0)
    assert task.regret(0.3) == pytest.approx(1)
    assert Surrogate(folder).others == ("7593",)


def test_a_curve_is_one_minus_balanced_accuracy_of_all_epochs_in_one_call(
    folder: Path,
) -> None:
    surrogate = Surrogate(folder)
    output = np.zeros((EPOCHS, 6), np.float32)
    output[:, 0] = [10, 8, *range(11, 61)]
    output[:, 3] = np.linspace(0.5, 0.75, EPOCHS)
    session = Recorded(output)
    vars(surrogate)["session"] = session
    flat = surrogate.space.from_units([0.5] * len(INPUTS))
    curve = surrogate.predict("3945", flat)
    assert curve.values[[0, -1]] == pytest.approx([0.5, 0.25])
    assert curve.seconds[[0, 2]] == pytest.approx([10, 1])
    assert (curve.seconds > 0).all()
    (given,) = session.given
    assert set(given["x_cat"].ravel().tolist()) == {34}
    assert given["x_cont"][:, 0].tolist() == list(range(1, EPOCHS + 1))
    assert given["x_cont"][0, 1] == round((16 * 512) ** 0.5)
    assert given["x_cont"][0, 2] == pytest.approx(1e-4**0.5 * 0.1**0.5)


def test_a_folder_without_the_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.onnx: no such file; --data names"):
        _ = Surrogate(tmp_path).session
