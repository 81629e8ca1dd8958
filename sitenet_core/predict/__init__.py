"""Prediction and evaluation with a bundle, without MLflow."""

from sitenet_core.predict.evaluation import CrystalPrediction, Evaluation, evaluate
from sitenet_core.predict.paths import predict_paths
from sitenet_core.predict.predictor import Failure, Predictor
from sitenet_core.predict.rows import COLUMNS, PredictionRow
from sitenet_core.predict.structures import predict_structures, predict_texts

__all__ = [
    "COLUMNS",
    "CrystalPrediction",
    "Evaluation",
    "Failure",
    "PredictionRow",
    "Predictor",
    "evaluate",
    "predict_paths",
    "predict_structures",
    "predict_texts",
]
