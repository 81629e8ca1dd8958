"""The one meeting with the test set: the winner and all references, once."""

import csv
from pathlib import Path

from search.journal.events import PromotionFailed, PromotionTested, PromotionTesting
from search.promotion.networks import Promotion, concerns_reference
from search.promotion.plan import COMPOSITION, CONSTANT
from search.tracking import WINNER
from sitenet_core.baselines import (
    CompositionOptions,
    composition_baseline,
    constant_baseline,
)
from sitenet_core.bundle import add_metrics, load_bundle
from sitenet_core.errors import SiteNetError
from sitenet_core.predict.evaluation import Evaluation, evaluate


def evaluate_models(promotion: Promotion) -> None:
    """Evaluate every model that has no test result in the journal yet.

    That the test set is opened is journalled first. After a kill in the middle, the
    models that were not evaluated are: their weights were final before, so nothing
    could have been chosen by what was seen.

    Raises:
        SiteNetError: if the winner cannot predict the test set, or the disk is full.
    """
    ledger = promotion.ledger
    models = [m for m in promotion.plan.models if m not in ledger.failed]
    waiting = [m for m in models if m not in ledger.tested]
    if waiting and not ledger.test_begun:
        ledger.append(PromotionTesting(models=models))
    for model in waiting:
        try:
            _test(promotion, model)
        except SiteNetError as error:
            if not concerns_reference(model, error):
                raise
            ledger.append(PromotionFailed(model=model, message=str(error)))


def predictions_file(promotion: Promotion, model: str) -> Path:
    """Return the file with the test set's targets and predictions of a model."""
    name = model.replace(":", "-")
    return promotion.folder.promotion / "predictions" / f"{name}.csv"


def _test(promotion: Promotion, model: str) -> None:
    evaluation = _evaluate(promotion, model)
    _write_predictions(predictions_file(promotion, model), evaluation)
    metrics: dict[str, float | int | None] = {
        "mae": evaluation.mae,
        "rmse": evaluation.rmse,
        "n": evaluation.n,
    }
    if model in promotion.plan.networks:
        # Before the event, after which MLflow takes the bundle as it is then.
        errors = {f"test_{k}": metrics[k] for k in ("mae", "rmse")}
        add_metrics(promotion.bundle(model), errors)
    promotion.ledger.append(PromotionTested(model=model, metrics=metrics))


def _evaluate(promotion: Promotion, model: str) -> Evaluation:
    plan = promotion.plan
    if model in plan.networks:
        bundle = load_bundle(promotion.bundle(model))
        data = promotion.training_data(bundle.config)
        return evaluate(bundle, data.store, data.split.test, promotion.running.device)
    # Neither of the others looks at cells, so that any store of the study serves.
    data = promotion.training_data(plan.configuration(WINNER))
    if model == CONSTANT:
        return constant_baseline(data, data.split.test)
    if model == COMPOSITION:
        options = CompositionOptions(seed=plan.seed, n_jobs=promotion.running.threads)
        return composition_baseline(data, data.split.test, options)
    raise ValueError(f"{model!r} is in the plan, but not a model that can be tested")


def _write_predictions(path: Path, evaluation: Evaluation) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "target", "prediction"))
        for row in evaluation.predictions:
            writer.writerow((row.id, row.target, row.prediction))
    partial.replace(path)
