"""MODEL on the command line: a bundle folder, or a registered model."""

from pathlib import Path

MODEL_HELP = "folder of a bundle, or models:/NAME@ALIAS or models:/NAME/VERSION"


def bundle_folder(model: str, studies: Path) -> Path:
    """Return the bundle folder that `model` names; only a registry needs MLflow."""
    if not model.startswith("models:"):
        return Path(model)
    from search.tracking import fetch_bundle, tracking_uri

    return fetch_bundle(model, tracking_uri(studies))
