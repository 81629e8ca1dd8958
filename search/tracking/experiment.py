"""Trials of earlier studies as MLflow holds them.

A run is one of ours if both tags say so by which our mirror finds its runs again. What
else it is told of such a run is the journal's (see `record_tag`), so that an experiment
tells what the journal tells. All other runs are those of other people, who know nothing
of our tags, epochs and rungs: what counts of them is how they ended.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from search.journal.records import TrialRecord
from search.journal.trials import OBJECTIVE
from search.tracking.location import sqlite_file
from search.tracking.logged_text import logged_configuration
from search.tracking.mirror import KEY_TAG, STUDY_TAG
from search.tracking.points import BEST
from search.tracking.record_tag import RECORD_TAG, read_record
from search.tracking.store import LoggedRun, MlflowStore, displayed
from search.tracking.views import DEFINITION, STUDY_KEY
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError

_STATUS = {"FINISHED": Outcome.COMPLETED, "FAILED": Outcome.FAILED_EXCEPTION}
_TRIAL_KEY = re.compile(r"trial-(\d{1,18})", re.ASCII)
_THE_END = 1
"""The one rung of other people's runs, however they count their steps."""


@dataclass(frozen=True)
class TrackedStudy:
    """One study in an experiment."""

    trials: tuple[TrialRecord, ...]
    """By number. Configuration, outcome and values at the rungs are the journal's;
    epochs are not looked up."""
    run: LoggedRun | None = None
    """The run of the study itself; None for runs of other people."""


def experiment_studies(uri: str, experiment: str) -> dict[str, TrackedStudy]:
    """Return the studies in an experiment of the store at `uri`, by identity.

    Runs of other people are the trials of a study that is named like the experiment,
    numbered in the order of the runs' ids, if they have parameters. One that FINISHED
    has the smallest finite value among its metrics `val_mae` and `best_val_mae`, at
    whatever steps they were logged; where all of them are NaN, it diverged. One that
    FAILED is a failed trial. One that runs, or was killed, has no value: it cannot be
    compared with others that came to their end.

    Raises:
        ConfigError: if there is no such experiment, or a run of ours was tampered with.
        InfrastructureError: if MLflow does not answer.
    """
    store = _existing_store(uri)
    found = None if store is None else store.find_experiment(experiment)
    if store is None or found is None:
        raise ConfigError(
            f"MLflow at {displayed(uri)} has no experiment {experiment!r}; "
            "`sitenet ui` shows those that there are (restore it there if it was "
            "deleted)"
        )
    ours: dict[str, list[LoggedRun]] = {}
    others: list[LoggedRun] = []
    for run in sorted(store.experiment_runs(found), key=lambda run: run.run_id):
        if STUDY_TAG in run.tags and KEY_TAG in run.tags:
            ours.setdefault(run.tags[STUDY_TAG], []).append(run)
        elif run.params:
            others.append(run)
    studies = {name: _study(store, ours[name]) for name in sorted(ours)}
    if others:
        trials = (_of_others(store, run, n) for n, run in enumerate(others))
        studies[experiment] = TrackedStudy(tuple(trials))
    return studies


def fetch_definition(uri: str, study: TrackedStudy, folder: Path) -> bool:
    """Copy the files that define `study` to `folder`; return whether there are any.

    Raises:
        InfrastructureError: if MLflow does not have all of them, or does not answer.
    """
    if study.run is None:
        return False
    store = MlflowStore(uri)
    for name in DEFINITION:
        store.download(f"{study.run.artifact_uri}/{name}", folder)
    return True


def _existing_store(uri: str) -> MlflowStore | None:
    """Return the store; None where opening it would make its file."""
    database = sqlite_file(uri)
    return MlflowStore(uri) if database is None or database.exists() else None


def _study(store: MlflowStore, runs: Sequence[LoggedRun]) -> TrackedStudy:
    """Return the study that has `runs`; its promotions and reruns are no trials."""
    whole = next((r for r in runs if r.tags[KEY_TAG] == STUDY_KEY), None)
    numbered = {
        _number(run): run for run in runs if run.tags[KEY_TAG].startswith("trial-")
    }
    told = {n: _told(run, n) for n, run in numbered.items() if RECORD_TAG in run.tags}
    untold = {n: run for n, run in numbered.items() if n not in told}
    records = {**told, **_guessed(store, untold)}
    return TrackedStudy(tuple(records[n] for n in sorted(records)), whole)


def _number(run: LoggedRun) -> int:
    parts = _TRIAL_KEY.fullmatch(run.tags[KEY_TAG])
    if parts is None:
        raise ConfigError(_tampered(run, KEY_TAG, "it names no trial"))
    return int(parts[1])


def _told(run: LoggedRun, number: int) -> TrialRecord:
    """Return the record of a trial whose run says what the journal said."""
    try:
        told = read_record(run.tags[RECORD_TAG])
    except (ValueError, RecursionError) as error:
        raise ConfigError(_tampered(run, RECORD_TAG, str(error))) from error
    flat = told.configuration
    return TrialRecord(
        number=number,
        configuration=logged_configuration(run.params) if flat is None else flat,
        outcome=_outcome(run),
        rung_values=told.rung_values,
    )


def _tampered(run: LoggedRun, tag: str, reason: str) -> str:
    study = run.tags[STUDY_TAG].partition(" ")[0]
    return (
        f"run {run.run_id} of study {study!r}: its tag {tag} is {run.tags[tag]!r:.80}: "
        f"{reason}, so somebody has changed it; delete the run, and `sitenet search "
        f"sync {study}` writes it again from the journal"
    )


def _guessed(
    store: MlflowStore, runs: Mapping[int, LoggedRun]
) -> dict[int, TrialRecord]:
    """Return the trials of a study whose runs an earlier version wrote.

    Their rungs are not known. Trials that came to their end stand at one; what the
    others had there is what they are compared by, and whatever came after is not.
    """
    records, curves = {}, {}
    for number, run in runs.items():
        flat, outcome = logged_configuration(run.params), _outcome(run)
        records[number] = TrialRecord(number, flat, outcome=outcome)
        if outcome is None or outcome.is_finished or outcome is Outcome.CANCELLED:
            curves[number] = _best_so_far(store, run)
    ends = {
        max(curve)
        for number, curve in curves.items()
        if curve and records[number].outcome in {Outcome.COMPLETED, Outcome.STOPPED}
    }
    for number, curve in curves.items():
        rungs = {rung: curve[rung] for rung in sorted(ends) if rung in curve}
        records[number] = replace(records[number], rung_values=rungs)
    return records


def _best_so_far(store: MlflowStore, run: LoggedRun) -> dict[int, float]:
    """Return epoch → value that a trial would have had if it had ended there."""
    best = store.history(run, BEST)
    if best:
        return best
    curve = store.history(run, OBJECTIVE)
    epochs = sorted(e for e, value in curve.items() if e > 0 and _is_finite(value))
    return dict(zip(epochs, accumulate((curve[e] for e in epochs), min), strict=True))


def _of_others(store: MlflowStore, run: LoggedRun, number: int) -> TrialRecord:
    record = TrialRecord(
        number, logged_configuration(run.params), outcome=_STATUS.get(run.status)
    )
    if record.outcome is not Outcome.COMPLETED:
        return record
    values = [v for name in (OBJECTIVE, BEST) for v in store.values(run, name)]
    best = min(filter(_is_finite, values), default=None)
    if best is not None:
        return replace(record, rung_values={_THE_END: best})
    return replace(record, outcome=Outcome.FAILED_NAN) if values else record


def _is_finite(value: float) -> bool:
    """Return whether a value was finite when it was logged.

    Databases of MLflow hold the largest float in place of an infinity.
    """
    return abs(value) < sys.float_info.max


def _outcome(run: LoggedRun) -> Outcome | None:
    """Return how a trial of ours ended."""
    word = run.tags.get("outcome", "")
    if word in set(Outcome):
        return Outcome(word)
    return None if word else _STATUS.get(run.status)
