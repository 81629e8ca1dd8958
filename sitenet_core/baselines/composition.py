"""What the composition alone tells: a library's regressor on Magpie features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sitenet_core.predict.evaluation import Evaluation
from sitenet_core.training.options import TrainingData
from sitenet_core.training.targets import target_values


@dataclass(frozen=True)
class CompositionOptions:
    """How the forest is grown."""

    trees: int = 300
    seed: int = 0
    n_jobs: int = 1
    """Processors used; the numbers do not depend on it."""


def composition_baseline(
    data: TrainingData,
    ids: Sequence[str],
    options: CompositionOptions | None = None,
) -> Evaluation:
    """Return the errors on `ids` of a random forest that sees compositions only.

    Features are matminer's Magpie statistics (Ward et al., npj Comput. Mater. 2, 16028,
    2016) of the formulas in the packed store; a third of them is tried at each split.
    Predictions are clamped as the target says.

    Raises:
        DataError: if a crystal has no target or there is none.
    """
    from sklearn.ensemble import RandomForestRegressor

    from sitenet_core.features.composition import composition_features

    options = options or CompositionOptions()
    store, target = data.store, data.target
    train, test = store.index_of(data.training_ids), store.index_of(ids)
    truth = target_values(store, target, test)
    formulas = [store.formulas[int(row)] for row in (*train, *test)]
    features = composition_features(formulas)
    forest = RandomForestRegressor(
        n_estimators=options.trees,
        max_features=1 / 3,
        random_state=options.seed,
        n_jobs=options.n_jobs,
    )
    forest.fit(features[: len(train)], target_values(store, target, train))
    values = np.empty(0)
    if len(test):
        values = forest.predict(features[len(train) :])
    if target.clamp == "non_negative":
        values = np.maximum(values, 0.0)
    return Evaluation.of(ids, truth, values, target.unit)
