"""The official folds as validation sets of reruns; the test fold stays out."""

import numpy as np

from sitenet_core.data import PackedStore, Split
from sitenet_core.errors import DataError


def inner_folds(split: Split, store: PackedStore) -> tuple[int, ...]:
    """Return the official folds that the training part of `split` lies in, sorted.

    The fold of the test set is none of them, since no crystal of it is in that part.

    Raises:
        DataError: if there are fewer than two, so that none can validate the others.
    """
    found = sorted(set(_fold_of(split, store).values()))
    if len(found) < 2:
        raise DataError(
            f"source {store.header.source}: the crystals to train and validate on lie "
            f"in {len(found)} official fold; promotion.folds needs at least 2 beside "
            "the test fold. Set promotion.folds to false"
        )
    return tuple(found)


def fold_split(split: Split, store: PackedStore, fold: int) -> Split:
    """Return `split` with official fold `fold` for validation and the others to train.

    Crystals that were in neither part stay out, and the test set is the same: a
    training with this split never sees it.
    """
    folds = _fold_of(split, store)
    parts = {
        "train": tuple(name for name, f in folds.items() if f != fold),
        "validation": tuple(name for name, f in folds.items() if f == fold),
    }
    return split.model_copy(update=parts)


def overlap(split: Split, n_folds: int) -> float:
    """Return crystals that validate per crystal that is trained on, averaged."""
    pool = len(split.train) + len(split.validation)
    validation = pool / n_folds
    return validation / (pool - validation)


def _fold_of(split: Split, store: PackedStore) -> dict[str, int]:
    """Return the official fold of each crystal to train or validate on, by id."""
    if store.folds is None:
        raise DataError(
            f"source {store.header.source}: has no official folds; set promotion.folds "
            "to false"
        )
    pool = np.array(sorted((*split.train, *split.validation)), dtype=object)
    rows = {name: row for row, name in enumerate(store.ids)}
    return {name: int(store.folds[rows[name]]) for name in pool.tolist()}
