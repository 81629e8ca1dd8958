"""MLflow as a view of the journal, and the registry of promoted models.

Importing this package does not import MLflow; opening a store does.
"""

from search.tracking.experiment import experiment_studies
from search.tracking.location import tracking_uri, ui_command
from search.tracking.promoted import WINNER
from search.tracking.registry import (
    CHAMPION,
    RegisteredModel,
    Registration,
    check_model_name,
    fetch_bundle,
    register_bundle,
)
from search.tracking.store import MlflowStore, displayed, probe
from search.tracking.tracker import MlflowTracker

__all__ = [
    "CHAMPION",
    "WINNER",
    "MlflowStore",
    "MlflowTracker",
    "RegisteredModel",
    "Registration",
    "check_model_name",
    "displayed",
    "experiment_studies",
    "fetch_bundle",
    "probe",
    "register_bundle",
    "tracking_uri",
    "ui_command",
]
