"""Predictions for structures and for texts of structure files."""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from sitenet_core.bundle import Bundle
from sitenet_core.data.schema import FeatureArrays
from sitenet_core.errors import StructureError
from sitenet_core.predict.predictor import Failure, Predictor
from sitenet_core.predict.rows import PredictionRow
from sitenet_core.training.machine import DeviceChoice

if TYPE_CHECKING:
    from pymatgen.core import Structure

logger = logging.getLogger(__name__)

_CHUNK = 256
"""Structures whose arrays are held at a time."""

Item = tuple[str, Callable[[], "Structure"]]
"""An id, and what returns the checked structure or raises StructureError."""


def predict_structures(
    bundle: Bundle,
    structures: Iterable[tuple[str, "Structure"]],
    device: DeviceChoice = "auto",
) -> list[PredictionRow]:
    """Return one row per (id, structure), in order; bad ones are rows with a reason."""
    from sitenet_core.structures.checks import check_structure

    def checked(structure: "Structure") -> Callable[[], "Structure"]:
        return lambda: check_structure(structure)

    items = ((id_, checked(structure)) for id_, structure in structures)
    return predict_items(Predictor(bundle, device), items)


def predict_texts(
    bundle: Bundle, texts: Iterable[tuple[str, str]], device: DeviceChoice = "auto"
) -> list[PredictionRow]:
    """Return one row per (id, text of a CIF, POSCAR or JSON), in order."""
    from sitenet_core.structures.read import structure_from_text

    def parsed(id_: str, text: str) -> Callable[[], "Structure"]:
        return lambda: structure_from_text(text, id_)

    items = ((id_, parsed(id_, text)) for id_, text in texts)
    return predict_items(Predictor(bundle, device), items)


def predict_items(predictor: Predictor, items: Iterable[Item]) -> list[PredictionRow]:
    """Return one row per item, in order; one that raises is a failed row.

    The traceback of what is not a StructureError is logged.
    """
    rows: list[PredictionRow] = []
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        rows += _predict_chunk(predictor, chunk)
    return rows


def _predict_chunk(predictor: Predictor, chunk: Sequence[Item]) -> list[PredictionRow]:
    prepared = [_features(predictor, item) for item in chunk]
    good = [arrays for arrays in prepared if not isinstance(arrays, Failure)]
    values = iter(predictor.predict(good))
    unit = predictor.bundle.target.unit
    return [
        _row(id_, unit, p if isinstance(p, Failure) else next(values))
        for (id_, _), p in zip(chunk, prepared, strict=True)
    ]


def _features(predictor: Predictor, item: Item) -> FeatureArrays | Failure:
    id_, read = item
    try:
        return predictor.features(read())
    except StructureError as error:
        return Failure(str(error))
    except Exception as error:  # one bad file must not lose the others
        logger.exception("unexpected failure of structure %s", id_)
        return Failure(f"unexpected {type(error).__name__}: {error}")


def _row(id_: str, unit: str, outcome: float | Failure) -> PredictionRow:
    if isinstance(outcome, Failure):
        return PredictionRow(id_, None, unit, "failed", outcome.reason)
    return PredictionRow(id_, outcome, unit, "ok", "")
