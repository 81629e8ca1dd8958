"""What MLflow should show, computed from the journal's state and from nothing else.

One study is one parent run; each trial, and each model of a promotion, is a child. The
same journal always gives the same views, times included: that is what makes logging
them twice harmless.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from search.journal.events import PromotionDivided
from search.journal.records import TrialRecord
from search.journal.state import StudyState
from search.journal.trials import TrialDetails
from search.tracking.points import (
    BEST,
    Point,
    curve_points,
    milliseconds,
    restarts_of,
)
from search.tracking.record_tag import RECORD_TAG, record_text
from search.trial.outcome import Outcome

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
STUDY_KEY = "study"
DEFINITION = ("study.yaml", "space.json")
"""Files in a study's folder that define it, artifacts of its run."""
LONGEST_TAG = 4000
_STOPPED = f"trials_{Outcome.STOPPED}"
FORMER_TAGS = {"seed": "algorithm.seed", "micro_batch_halvings": "halvings"}
"""Name that an earlier version gave a tag → its name now."""


@dataclass(frozen=True)
class Artifact:
    """A file or folder that belongs to a run."""

    path: Path
    folder: str | None = None
    """Folder among the run's artifacts; None is their root."""


@dataclass(frozen=True)
class RunView:
    """Everything that one run of MLflow should hold."""

    key: str
    """`study`, `trial-00003` or `promotion-…`: unique and lasting within a study."""
    name: str
    start_ms: int
    status: Status
    end_ms: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    artifacts: tuple[Artifact, ...] = ()

    @property
    def digest(self) -> str:
        """Equal for equal views."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def study_identity(state: StudyState) -> str:
    """Return what tells this study from every other one on the same server."""
    return f"{state.name} {state.first_study_digest[:16]} {state.details[0].created}"


def study_view(state: StudyState, folder: Path, tags: Mapping[str, str]) -> RunView:
    """Return the parent run of a study with at least one trial.

    Its metrics are counted in ended trials: the best value so far, and how many trials
    ended in which way, in the words of their own runs.
    """
    ended = max(d.ended or d.created for d in state.details.values())
    return RunView(
        key=STUDY_KEY,
        name=state.name,
        start_ms=milliseconds(state.details[0].created),
        status=_study_status(state),
        end_ms=None if state.session_open else milliseconds(ended),
        tags={
            **state.digests,
            **tags,
            "study": state.name,
            "study_digest": state.study_digest,
            "space_digest": state.space_digest,
            "session": str(state.session),
        },
        points=tuple(_progress(state)),
        artifacts=tuple(
            Artifact(folder / name) for name in DEFINITION if (folder / name).is_file()
        ),
    )


def trial_view(
    state: StudyState, number: int, folder: Path, tags: Mapping[str, str]
) -> RunView:
    """Return the child run of one trial; an inactive parameter is absent from it."""
    trial, details = state.trials[number], state.details[number]
    start_ms = milliseconds(details.created)
    return RunView(
        key=f"trial-{number:05d}",
        name=f"trial {number}",
        start_ms=start_ms,
        status=_trial_status(state.outcome_of(number), open_session=state.session_open),
        end_ms=_trial_end(
            details,
            is_over=not state.session_open or state.outcome_of(number) is not None,
        ),
        tags={
            **state.digests,
            **tags,
            **_trial_tags(trial, details, state.outcome_of(number)),
        },
        params=parameters(trial.configuration),
        points=tuple(curve_points(details.curve, start_ms, restarts_of(trial))),
        artifacts=_bundle(folder, trial.bundle),
    )


def parameters(configuration: Mapping[str, object]) -> dict[str, str]:
    """Return MLflow's parameters of a flat configuration; a null one is absent."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in configuration.items()
        if value is not None
    }


def _trial_tags(
    trial: TrialRecord, details: TrialDetails, outcome: Outcome | None
) -> dict[str, str]:
    tags = {
        "trial": str(trial.number),
        "outcome": str(outcome or "unfinished"),
        "source": trial.source,
        "algorithm.seed": str(trial.seed),
        "attempts": str(trial.attempts),
        "message": trial.message[:LONGEST_TAG],
        "folder": details.folder or "",
        "micro_batch": _number(details.micro_batch),
        "halvings": _number(details.halvings or None),
        "predicted_bytes": _number(details.predicted_bytes),
        "memory_bytes": _number(details.memory_bytes),
        RECORD_TAG: record_text(trial),
    }
    return {name: value for name, value in tags.items() if value}


def division_tags(state: StudyState, model: str) -> dict[str, str]:
    """Return how a training of a promotion is divided, and what was expected of it."""
    events = [
        e
        for e in state.promotion
        if isinstance(e, PromotionDivided) and e.model == model
    ]
    if not events:
        return {}
    tags = {
        "micro_batch": _number(events[-1].micro_batch),
        "halvings": _number(len(events) - 1 or None),
        "predicted_bytes": _number(events[0].predicted_bytes),
        "memory_bytes": _number(events[0].memory_bytes),
    }
    return {name: value for name, value in tags.items() if value}


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _trial_status(outcome: Outcome | None, *, open_session: bool) -> Status:
    if outcome is None:
        return "RUNNING" if open_session else "KILLED"
    if outcome.is_failure:
        return "FAILED"
    return "KILLED" if outcome is Outcome.CANCELLED else "FINISHED"


def _trial_end(details: TrialDetails, *, is_over: bool) -> int | None:
    """Return when a trial ended; one that waits for the next session has an end too."""
    if details.ended is not None:
        return milliseconds(details.ended)
    if not is_over:
        return None
    return milliseconds(details.created) + round(1000 * details.seconds)


def _study_status(state: StudyState) -> Status:
    if state.session_open:
        return "RUNNING"
    if state.search_ended in {"interrupted", None}:
        return "KILLED"
    return "FAILED" if state.search_ended in {"error", "failures"} else "FINISHED"


def _progress(state: StudyState) -> Iterator[Point]:
    """Yield the study's metrics, a step being one more trial with an end of its own.

    Trials that wait for a larger budget are `stopped` without one, and count at the
    last step. So the next step takes back what they counted, if they go on: therefore
    each has the count of the stopped, and there is a step before the first.
    """
    ended = [
        (d.ended_at, d.ended, n)
        for n, d in state.details.items()
        if d.ended is not None
    ]
    counts: Counter[str] = Counter()
    best: float | None = None
    step, time_ms = 0, milliseconds(state.details[0].created)
    yield Point("trials_ended", 0, 0, time_ms)
    yield Point(_STOPPED, 0, 0, time_ms)
    for step, (_, time, number) in enumerate(sorted(ended), start=1):
        trial = state.trials[number]
        time_ms = milliseconds(time)
        outcome = f"trials_{trial.outcome}"
        counts[outcome] += 1
        if trial.outcome is Outcome.COMPLETED and trial.value is not None:
            best = trial.value if best is None else min(best, trial.value)
        if best is not None:
            yield Point(BEST, best, step, time_ms)
        yield Point("trials_ended", step, step, time_ms)
        for name in dict.fromkeys((outcome, _STOPPED)):
            yield Point(name, counts[name], step, time_ms)
    others = (state.outcome_of(n) for n, d in state.details.items() if d.ended is None)
    late = Counter(f"trials_{outcome}" for outcome in others if outcome is not None)
    if late:
        # After what was counted at this step before.
        yield Point("trials_ended", step + late.total(), step, time_ms + 1)
    for name, n in sorted(late.items()):
        yield Point(name, counts[name] + n, step, time_ms + 1)


def _bundle(folder: Path, bundle: str | None) -> tuple[Artifact, ...]:
    if bundle is None or not (folder / bundle).is_dir():
        return ()
    return (Artifact(folder / bundle, "bundle"),)
