"""MLflow as a view of the journal, and the registry of promoted models.

Importing this package does not import MLflow; opening a store does.
"""

from search.tracking.experiment import (
    TrackedStudy,
    experiment_studies,
    fetch_definition,
)
from search.tracking.fetched import fetch_bundle
from search.tracking.location import tracking_uri, ui_command
from search.tracking.mirror import Written
from search.tracking.promoted import WINNER
from search.tracking.registry import (
    CHAMPION,
    RegisteredModel,
    Registration,
    check_model_name,
    register_bundle,
)
from search.tracking.store import MlflowStore, displayed, load_mlflow, probe
from search.tracking.tracker import MlflowTracker

__all__ = [
    "CHAMPION",
    "WINNER",
    "MlflowStore",
    "MlflowTracker",
    "RegisteredModel",
    "Registration",
    "TrackedStudy",
    "Written",
    "check_model_name",
    "displayed",
    "experiment_studies",
    "fetch_bundle",
    "fetch_definition",
    "load_mlflow",
    "probe",
    "register_bundle",
    "tracking_uri",
    "ui_command",
]
