"""What MLflow loads: CIF text in, a table out."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from support.toy_training import toy_config, toy_data, train_toy

from sitenet_core.bundle import bundle_from_checkpoint, load_bundle
from sitenet_core.errors import ConfigError
from sitenet_core.predict import predict_texts
from sitenet_core.predict.pyfunc import CifModel, _load_pyfunc

pytestmark = pytest.mark.usefixtures("toy")

SALT = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(
    fmt="cif"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the bundle of a short toy training."""
    result, _ = train_toy(tmp_path / "training", until=1)
    best = result.best_checkpoint
    return bundle_from_checkpoint(tmp_path / "b", best, toy_config(), toy_data(), {})


@pytest.fixture
def model(folder: Path) -> CifModel:
    """Return what MLflow gets."""
    return _load_pyfunc(str(folder))


def test_a_table_of_texts_becomes_a_table_of_predictions(
    folder: Path, model: CifModel
) -> None:
    table = pd.DataFrame(
        {"id": ["salt", "bad"], "cif": [SALT, "nonsense"]}, index=[7, 8]
    )
    found = model.predict(table)
    assert list(found.columns) == ["id", "prediction", "unit", "status", "reason"]
    assert list(found["id"]) == ["salt", "bad"]
    assert list(found["status"]) == ["ok", "failed"]
    (row,) = predict_texts(load_bundle(folder), [("salt", SALT)])
    assert found["prediction"][0] == row.prediction
    assert pd.isna(found["prediction"][1])
    assert found["prediction"].dtype == "float64"


def test_without_ids_the_rows_are_numbered(model: CifModel) -> None:
    expected = ["0", "1"]
    assert list(model.predict(pd.DataFrame({"cif": [SALT, SALT]}))["id"]) == expected
    assert list(model.predict([SALT, SALT])["id"]) == expected


def test_an_empty_table_has_its_columns(model: CifModel) -> None:
    found = model.predict(pd.DataFrame({"cif": []}))
    assert list(found.columns) == ["id", "prediction", "unit", "status", "reason"]
    assert len(found) == 0


def test_other_input_is_refused(model: CifModel) -> None:
    with pytest.raises(ConfigError, match=r"columns text; a column 'cif'"):
        model.predict(pd.DataFrame({"text": [SALT]}))
    with pytest.raises(ConfigError, match=r"structure '1' of the input is int"):
        model.predict([SALT, 3])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match=r"takes no parameters, found \['fast'\]"):
        model.predict([SALT], {"fast": True})


def test_the_loader_needs_neither_mlflow_nor_lightning() -> None:
    script = (
        "import sitenet_core.predict.pyfunc, sys; "
        "print([m for m in ('mlflow', 'pytorch_lightning', 'pymatgen') "
        "if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert done.stdout.strip() == "[]"
