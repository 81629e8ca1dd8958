"""Trials of earlier studies as MLflow holds them."""

import json
from collections.abc import Mapping
from dataclasses import replace

from search.journal.records import TrialRecord, objective_at
from search.journal.trials import OBJECTIVE
from search.space.values import Value
from search.tracking.location import sqlite_file
from search.tracking.mirror import KEY_TAG, STUDY_TAG
from search.tracking.store import LoggedRun, MlflowStore, displayed
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError

_STATUS = {"FINISHED": Outcome.COMPLETED, "FAILED": Outcome.FAILED_EXCEPTION}
_PLAIN = (bool, int, float, str)


def experiment_studies(uri: str, experiment: str) -> dict[str, tuple[TrialRecord, ...]]:
    """Return the trials in an experiment of the store at `uri`, by study.

    A run of ours says which trial of which study it is. Any other run that has a
    metric `val_mae` and parameters is a trial too: of a study that is named like the
    experiment, numbered in the order of the runs' ids. MLflow knows the epochs of a
    trial and not its rungs: its only rung is the last epoch it was trained to.

    Raises:
        ConfigError: if there is no such experiment.
        InfrastructureError: if MLflow does not answer.
    """
    store = _existing_store(uri)
    found = None if store is None else store.find_experiment(experiment)
    if store is None or found is None:
        raise ConfigError(
            f"MLflow at {displayed(uri)} has no experiment {experiment!r}; "
            "`sitenet ui` shows those that there are"
        )
    studies: dict[str, list[TrialRecord]] = {}
    for run in sorted(store.experiment_runs(found), key=lambda run: run.run_id):
        key = run.tags.get(KEY_TAG, "trial")
        if not key.startswith("trial") or not run.params:
            continue
        trials = studies.setdefault(run.tags.get(STUDY_TAG, experiment), [])
        number = int(run.tags.get("trial", len(trials)))
        trials.append(_record(run, number, store.history(run, OBJECTIVE)))
    return {
        name: tuple(sorted(trials, key=lambda trial: trial.number))
        for name, trials in studies.items()
    }


def _existing_store(uri: str) -> MlflowStore | None:
    """Return the store; None where opening it would make its file."""
    database = sqlite_file(uri)
    return MlflowStore(uri) if database is None or database.exists() else None


def _record(run: LoggedRun, number: int, values: Mapping[int, float]) -> TrialRecord:
    record = TrialRecord(
        number=number,
        configuration={name: _value(text) for name, text in run.params.items()},
        outcome=_outcome(run),
        epoch_values=dict(values),
    )
    if not values:
        return record
    last = max(values)
    value = objective_at(values, last)
    rungs = {} if value is None else {last: value}
    return replace(record, rung_values=rungs, last_epoch=last, target_epoch=last)


def _outcome(run: LoggedRun) -> Outcome | None:
    word = run.tags.get("outcome", "")
    if word in set(Outcome):
        return Outcome(word)
    return None if word else _STATUS.get(run.status)


def _value(text: str) -> Value:
    """Return the value that `views.parameters` wrote as `text`."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, _PLAIN) else text
