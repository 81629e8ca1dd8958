"""The prediction that knows no crystal: one number for all."""

from collections.abc import Sequence

import numpy as np

from sitenet_core.predict.evaluation import Evaluation
from sitenet_core.training.options import TrainingData
from sitenet_core.training.targets import target_values


def constant_baseline(data: TrainingData, ids: Sequence[str]) -> Evaluation:
    """Return the errors on `ids` of predicting the median of the training targets.

    The median is the constant with the smallest MAE on the crystals it is taken from.

    Raises:
        DataError: if a crystal has no target or there is none.
    """
    store, target = data.store, data.target
    known = target_values(store, target, store.index_of(data.training_ids))
    truth = target_values(store, target, store.index_of(ids))
    values = np.full(len(truth), np.median(known))
    return Evaluation.of(ids, truth, values, target.unit)
