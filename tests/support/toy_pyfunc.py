"""A loader module as MLflow calls it, for tests of the registry without a network."""

import json
from pathlib import Path

import pandas as pd


class ToyModel:
    """Predicts the number of lines of a CIF, in the bundle's unit."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def predict(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return one row per CIF."""
        return pd.DataFrame(
            {
                "id": [str(i) for i in range(len(table))],
                "prediction": [float(len(text.splitlines())) for text in table["cif"]],
                "unit": self.unit,
                "status": "ok",
                "reason": "",
            }
        )


def _load_pyfunc(data_path: str) -> ToyModel:
    """Return the model of a bundle folder (MLflow looks for this name)."""
    description = json.loads((Path(data_path) / "bundle.json").read_text())
    return ToyModel(description["unit"])
