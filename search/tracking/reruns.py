"""The runs of the best trials that were trained again before one was promoted."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.journal.events import (
    Metrics,
    PromotionEpoch,
    PromotionRerun,
    PromotionReruns,
    rerun_model,
)
from search.journal.state import StudyState
from search.tracking.points import curve_points, milliseconds
from search.tracking.views import (
    LONGEST_TAG,
    RunView,
    Status,
    division_tags,
    parameters,
)

_Key = tuple[int, int, int | None]
"""Trial, seed, and the fold that validates."""


@dataclass(frozen=True)
class _Rerun:
    key: _Key
    curve: Mapping[int, Metrics]
    event: PromotionRerun | None
    """None before its end."""


def rerun_views(state: StudyState, tags: Mapping[str, str]) -> list[RunView]:
    """Return one view per rerun that has begun: its curve and its best value."""
    plan = next((e for e in state.promotion if isinstance(e, PromotionReruns)), None)
    if plan is None or not plan.seeds:
        return []
    done = {
        (e.trial, e.seed, e.fold): e
        for e in state.promotion
        if isinstance(e, PromotionRerun)
    }
    curves: dict[str, dict[int, Metrics]] = {}
    for event in state.promotion:
        if isinstance(event, PromotionEpoch):
            curves.setdefault(event.model, {})[event.epoch] = event.metrics
    found = (
        _Rerun(key, curves.get(rerun_model(*key), {}), done.get(key))
        for key in _keys(plan)
    )
    return [_view(state, plan, r, tags) for r in found if r.curve or r.event]


def _keys(plan: PromotionReruns) -> list[_Key]:
    return [
        (candidate.trial, seed, fold)
        for candidate in plan.candidates
        for seed in plan.seeds
        for fold in plan.folds or (None,)
    ]


def _view(
    state: StudyState, plan: PromotionReruns, rerun: _Rerun, tags: Mapping[str, str]
) -> RunView:
    trial, event = rerun.key[0], rerun.event
    start_ms = milliseconds(plan.started)
    points = tuple(curve_points(rerun.curve, start_ms))
    last_ms = max((p.time_ms for p in points), default=start_ms)
    status = _status(state, event)
    name = rerun_model(*rerun.key)
    return RunView(
        key=f"promotion-rerun-{name}",
        name=f"rerun: {name}",
        start_ms=start_ms,
        status=status,
        end_ms=None if status == "RUNNING" else last_ms,
        tags={**state.digests, **tags, **division_tags(state, name), **_tags(rerun)},
        params=parameters(state.trials[trial].configuration),
        points=points,
    )


def _tags(rerun: _Rerun) -> dict[str, str]:
    trial, seed, fold = rerun.key
    tags = {"promotion": "rerun", "trial": str(trial), "seed": str(seed)}
    if fold is not None:
        tags["fold"] = str(fold)
    if rerun.event is not None and rerun.event.message:
        tags["message"] = rerun.event.message[:LONGEST_TAG]
    return tags


def _status(state: StudyState, rerun: PromotionRerun | None) -> Status:
    if rerun is not None:
        return "FINISHED" if rerun.value is not None else "FAILED"
    return "RUNNING" if state.session_open else "KILLED"
