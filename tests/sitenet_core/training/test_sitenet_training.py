"""Site-Net trained on real crystals, through the same door as any family."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.sitenet_training import CHANGES, CONFIG, build_prototypes, prototype_data
from support.toy_training import same_tensors

from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training import FitOptions, FitResult, TrainingData, fit
from sitenet_core.training.checkpoints import load_state

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return prototype_data(build_prototypes(tmp_path_factory.mktemp("stores")))


def train(
    folder: Path,
    data: TrainingData,
    config: SiteNetConfig = CONFIG,
    *,
    until: int | None = None,
    resume_from: Path | None = None,
) -> FitResult:
    options = FitOptions(
        folder, until_epoch=until, resume_from=resume_from, threads=1, device="cpu"
    )
    return fit(config, data, options)


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_sitenet_resumes_bit_for_bit(
    tmp_path: Path, data: TrainingData, normalization: str
) -> None:
    config = SiteNetConfig.from_preset(
        "test", {**CHANGES, "model": {"normalization": normalization}}
    )
    whole = train(tmp_path / "whole", data, config)
    half = train(tmp_path / "a", data, config, until=2)
    rest = train(tmp_path / "b", data, config, resume_from=half.last_checkpoint)
    one, two = load_state(whole.last_checkpoint), load_state(rest.last_checkpoint)
    assert same_tensors(one.weights, two.weights)
    assert same_tensors(one.optimizer, two.optimizer)
    assert whole.best_val_mae == rest.best_val_mae


def test_sitenet_learns_density(tmp_path: Path, data: TrainingData) -> None:
    config = SiteNetConfig.from_preset(
        "test",
        {"training": {"epochs": 25}, "optimizer": {"learning_rate": 0.01}},
    )
    losses: list[float] = []
    options = FitOptions(tmp_path, threads=1, device="cpu")
    fit(config, data, options, lambda record: losses.append(record.train_loss))
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("precision", ["64", "bf16-mixed"])
def test_sitenet_trains_in_other_arithmetic(
    tmp_path: Path, data: TrainingData, precision: str
) -> None:
    config = SiteNetConfig.from_preset(
        "test", {**CHANGES, "training": {"epochs": 2, "precision": precision}}
    )
    other = train(tmp_path / "other", data, config)
    single = train(tmp_path / "single", data, until=2)
    assert other.val_mae == pytest.approx(single.val_mae, rel=0.05)
    assert other.val_mae != single.val_mae


def test_training_and_evaluating_a_store_needs_no_crystal_library(
    tmp_path: Path, data: TrainingData
) -> None:
    data.split.save(tmp_path / "split.json")
    script = f"""
import json, sys
from pathlib import Path
from sitenet_core.bundle import bundle_from_checkpoint, load_bundle
from sitenet_core.config import TargetConfig
from sitenet_core.data import PackedStore, load_split
from sitenet_core.families import get_family
from sitenet_core.predict import evaluate
from sitenet_core.training import FitOptions, TrainingData, fit

folder = Path({str(tmp_path)!r})
config = get_family("sitenet").Config.model_validate({CONFIG.model_dump()!r})
target = TargetConfig.model_validate({data.target.model_dump()!r})
store = PackedStore.open(Path({str(data.store.path)!r}))
data = TrainingData(store, load_split(folder / "split.json"), target)
result = fit(config, data, FitOptions(folder, until_epoch=1, device="cpu"))
bundle_from_checkpoint(folder / "bundle", result.best_checkpoint, config, data, {{}})
found = evaluate(load_bundle(folder / "bundle"), store, data.split.validation)
heavy = ("pymatgen", "matminer", "mlflow", "ray", "hyperopt", "spglib")
print(json.dumps([[m for m in heavy if m in sys.modules], found.mae, result.val_mae]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )
    assert done.stderr == ""
    loaded, mae, val_mae = json.loads(done.stdout)
    assert loaded == []
    assert mae == pytest.approx(val_mae, rel=1e-5)
