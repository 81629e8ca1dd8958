"""The runs of a promotion: one child per rerun, and per model that was tested."""

from collections.abc import Mapping
from pathlib import Path

from search.journal.events import (
    Metrics,
    PromotionEpoch,
    PromotionFailed,
    PromotionRegistered,
    PromotionStarted,
    PromotionTested,
    PromotionTrained,
)
from search.journal.state import StudyState
from search.tracking.points import Point, curve_points, milliseconds
from search.tracking.reruns import rerun_views
from search.tracking.views import (
    LONGEST_TAG,
    Artifact,
    RunView,
    Status,
    division_tags,
    parameters,
)

WINNER = "winner"
TABLE_FILE = "table.md"
_METRICS = {"mae": "test_mae", "rmse": "test_rmse", "n": "n_test"}
"""What was measured on the test set → the word of results and registered models."""


def promotion_key(model: str) -> str:
    """Return the key of the run of `model`."""
    return f"promotion-{model}"


def promotion_views(
    state: StudyState, folder: Path, tags: Mapping[str, str]
) -> list[RunView]:
    """Return one view per rerun and per model of the promotion, once they begin."""
    reruns = rerun_views(state, tags)
    started = next(
        (e for e in state.promotion if isinstance(e, PromotionStarted)), None
    )
    if started is None:
        return reruns
    models = started.plan["models"]
    if not isinstance(models, dict):
        return reruns
    return reruns + [
        _view(state, model, dict(configuration or {}), folder, tags)  # type: ignore[arg-type]
        for model, configuration in models.items()
    ]


def _view(
    state: StudyState,
    model: str,
    configuration: Mapping[str, object],
    folder: Path,
    tags: Mapping[str, str],
) -> RunView:
    started = next(e for e in state.promotion if isinstance(e, PromotionStarted))
    start_ms = milliseconds(str(started.plan["started"]))
    curve = {
        event.epoch: event.metrics
        for event in state.promotion
        if isinstance(event, PromotionEpoch) and event.model == model
    }
    points = list(curve_points(curve, start_ms))
    last_ms = max((p.time_ms for p in points), default=start_ms)
    tested = _tested(state, model)
    for name, value in (tested or {}).items():
        if value is not None:
            word = _METRICS.get(name, f"test_{name}")
            points.append(Point(word, float(value), len(curve), last_ms))
    status = _status(state, model)
    return RunView(
        key=promotion_key(model),
        name=f"promotion: {model}",
        start_ms=start_ms,
        status=status,
        end_ms=None if status == "RUNNING" else last_ms,
        tags={**state.digests, **tags, **_tags(state, model, started)},
        params=parameters(configuration),
        points=tuple(points),
        artifacts=_artifacts(state, model, folder),
    )


def _tested(state: StudyState, model: str) -> Metrics | None:
    for event in state.promotion:
        if isinstance(event, PromotionTested) and event.model == model:
            return event.metrics
    return None


def _failed(state: StudyState, model: str) -> str | None:
    """Return why a reference failed, None if it did not."""
    for event in state.promotion:
        if isinstance(event, PromotionFailed) and event.model == model:
            return event.message
    return None


def _status(state: StudyState, model: str) -> Status:
    if _tested(state, model) is not None:
        return "FINISHED"
    if _failed(state, model) is not None:
        return "FAILED"
    return "RUNNING" if state.session_open else "KILLED"


def _tags(state: StudyState, model: str, started: PromotionStarted) -> dict[str, str]:
    tags = {"promotion": model, **division_tags(state, model)}
    for name in ("train_on", "epochs", "seed"):
        if name in started.plan:
            tags[name] = str(started.plan[name])
    if message := _failed(state, model):
        tags["message"] = message[:LONGEST_TAG]
    if model != WINNER:
        return tags
    tags["trial"] = str(started.trial)
    for event in state.promotion:
        if isinstance(event, PromotionRegistered):
            tags["registered_model"] = f"{event.name} version {event.version}"
    return tags


def _artifacts(state: StudyState, model: str, folder: Path) -> tuple[Artifact, ...]:
    found = [
        Artifact(folder / event.bundle, "bundle")
        for event in state.promotion
        if isinstance(event, PromotionTrained)
        and event.model == model
        and event.bundle
        and (folder / event.bundle).is_dir()
    ]
    if model == WINNER and _tested(state, model) is not None:
        table = folder / "promotion" / TABLE_FILE
        found += [Artifact(table)] if table.is_file() else []
    return tuple(found)
