"""Evaluation on a data set by name: its store is built or found, then predicted."""

from dataclasses import dataclass, replace

import numpy as np

from sitenet_core.bundle import Bundle
from sitenet_core.config import DataConfig
from sitenet_core.data import PackedStore
from sitenet_core.data.build import OnProgress
from sitenet_core.errors import DataError
from sitenet_core.families.stores import StoreBuilding, open_family_store
from sitenet_core.predict.evaluation import Evaluation, evaluate


@dataclass(frozen=True)
class LabelledData:
    """A data set that a model is held against."""

    source: str
    """As `source` of a study."""
    labels: str | None = None
    """CSV of a folder or zip, if it lies elsewhere."""
    column: str | None = None
    """Label column; None is the one the model was trained on."""
    fold: int | None = None
    """Only the test crystals of this official fold."""


def evaluate_source(
    bundle: Bundle, data: LabelledData, on_progress: OnProgress | None = None
) -> Evaluation:
    """Return the errors of `bundle` on every labelled crystal of `data`.

    Raises:
        DataError: if the data set cannot be used, or holds no labelled crystal.
    """
    column = data.column or bundle.target.column
    target = bundle.target.model_copy(update={"column": column})
    config = DataConfig(source=data.source, labels=data.labels, target=target)
    settings = bundle.family.settings(bundle.config)
    store = open_family_store(
        config, bundle.family, settings, StoreBuilding(), on_progress
    )
    header = bundle.header.model_copy(update={"target": target})
    ids = labelled_ids(store, column, data.fold)
    return evaluate(replace(bundle, header=header), store, ids)


def labelled_ids(store: PackedStore, column: str, fold: int | None) -> list[str]:
    """Return the ids with a value in `column`, of one test fold if `fold` is given.

    Raises:
        DataError: if there is none.
    """
    chosen = np.isfinite(store.labels(column))
    if fold is not None:
        if store.folds is None:
            raise DataError(
                f"source {store.header.source}: has no folds; omit the fold"
            )
        chosen &= store.folds == fold
    ids = [store.ids[index] for index in np.flatnonzero(chosen)]
    if not ids:
        where = "" if fold is None else f" in fold {fold}"
        raise DataError(
            f"source {store.header.source}: no crystal{where} has a value in {column!r}"
        )
    return ids
