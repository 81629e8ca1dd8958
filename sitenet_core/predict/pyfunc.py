"""What MLflow loads a registered model with: from CIF text to a table.

Named as `loader_module` of the model; MLflow calls `_load_pyfunc` with the folder of
the bundle. Nothing here needs MLflow, and nothing is unpickled.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitenet_core.bundle import Bundle, load_bundle
from sitenet_core.errors import ConfigError
from sitenet_core.predict.rows import COLUMNS
from sitenet_core.predict.structures import predict_texts

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMN = "cif"
ID_COLUMN = "id"


class CifModel:
    """A model whose input is CIF text and whose output is a table."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def predict(
        self,
        model_input: "pd.DataFrame | Sequence[str]",
        params: Mapping[str, Any] | None = None,
    ) -> "pd.DataFrame":
        """Return columns id, prediction, unit, status, reason, one row per structure.

        Args:
            model_input: table with a column `cif` of CIF, POSCAR or pymatgen JSON text
                and, if wanted, a column `id`; or a list of such texts. Without ids the
                rows are numbered from 0.
            params: MLflow's inference parameters; there are none.

        Raises:
            ConfigError: if the input has another form or parameters are given.
        """
        import pandas as pd

        if params:
            raise ConfigError(f"the model takes no parameters, found {sorted(params)}")
        rows = predict_texts(self._bundle, _texts(model_input))
        return pd.DataFrame([astuple(row) for row in rows], columns=list(COLUMNS))


def _load_pyfunc(data_path: str) -> CifModel:
    """Return the model of the bundle in folder `data_path`; MLflow calls this."""
    return CifModel(load_bundle(Path(data_path)))


def _texts(model_input: "pd.DataFrame | Sequence[str]") -> Iterator[tuple[str, str]]:
    columns = getattr(model_input, "columns", None)
    if columns is None:
        texts = list(model_input)
        ids = [str(number) for number in range(len(texts))]
    elif TEXT_COLUMN in columns:
        texts = list(model_input[TEXT_COLUMN])  # type: ignore[call-overload]
        known = model_input[ID_COLUMN] if ID_COLUMN in columns else range(len(texts))  # type: ignore[call-overload]
        ids = [str(value) for value in known]
    else:
        raise ConfigError(
            f"the input has the columns {', '.join(map(str, columns)) or 'none'}; a "
            f"column {TEXT_COLUMN!r} with the text of one structure per row is needed"
        )
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigError(
                f"structure {ids[position]!r} of the input is "
                f"{type(text).__name__}; the text of a CIF is needed"
            )
    return iter(zip(ids, texts, strict=True))
