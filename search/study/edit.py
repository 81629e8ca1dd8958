"""Edit and continue: a study goes on with another space and keeps what still fits.

A trial fits if the new definition can produce the very configuration that it was
trained with: every parameter of the new space has the value that the trial had (what
used to be fixed counts with that value), that value may be proposed, and all that is
not sampled is as it was. So a widened or an extended space keeps every trial, a
narrowed one those inside it, and a changed fixed value none.

Kept trials count as trials of this study in full. The others are set aside: they keep
their number, their folder and their share of the budget, have the outcome `outside` and
no value, and come back if a later edit has room for them.

The new files are written beside the old ones first. The event in the journal is the
moment of the edit; `finish_edit` does what a kill after it left undone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from search.engine.warm_start import WarmStart, carry_over
from search.journal import Journal, SetAside, StudyEdited, StudyState, TrialRecord
from search.space import FlatConfiguration, Space, Value
from search.study.folder import StudyFolder
from search.study.load import Study, changed_keys
from search.study.resolve import (
    FREE,
    has_promotion,
    save_study,
    save_warm_start,
    saved_study,
    saved_warm_start,
    study_digest,
)
from sitenet_core.config import flatten, merge, unflatten
from sitenet_core.errors import ConfigError
from sitenet_core.families.registry import get_family

EDITABLE = ("space", "configuration")
"""Sections of a study file that an edit may change, beside those that are free."""
_REASONS = {
    "data": "values on other data, or of another split, cannot be compared",
    "algorithm": "what was proposed and trained on so far has followed it",
    "fidelity": "values at another fidelity cannot be compared",
    "warm_start": "earlier studies are read once, when a study begins",
    "promotion": "the promotion has begun",
}


@dataclass(frozen=True)
class Edit:
    """An edit that can be made, and what becomes of every trial."""

    study: Study
    """To go on with."""
    event: StudyEdited
    warm_start: WarmStart | None
    n_trials: int

    @property
    def n_kept(self) -> int:
        """Trials that fit."""
        return self.n_trials - len(self.event.set_aside)

    def lines(self) -> list[str]:
        """Return what is kept and why the rest is not, line by line."""
        reasons = Counter(s.reason for s in self.event.set_aside.values())
        kept = f"{self.n_kept} of {self.n_trials} trials fit the new space"
        return [
            f"edited: {kept} and are kept",
            *(f"  {n} set aside: {reason}" for reason, n in reasons.most_common()),
        ]


def differs(saved: Study, given: Study) -> bool:
    """Return whether `given` changes more than what is always free."""
    keys = changed_keys(saved.config, given.config, (*FREE, "promotion"))
    return bool(keys) or saved.space.digest != given.space.digest


def plan_edit(folder: StudyFolder, given: Study) -> Edit:
    """Return what going on with `given` would mean; nothing is written.

    Raises:
        ConfigError: if it changes what no edit may change, with the reason of each
            key, or if no trial would be kept.
    """
    saved, state = saved_study(folder), folder.state()
    problems = list(_problems(folder, saved, given))
    if problems:
        raise ConfigError(
            f"{folder.study_file}: the study cannot go on with this definition:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nUndo the change, or start a new study with --name (and "
            f"`warm_start: [{folder.name}]` to learn from this one)"
        )
    warm_start = saved_warm_start(folder)
    if warm_start is not None:
        base = given.base_values
        warm_start = carry_over(warm_start.studies, given.space, base)
    event = StudyEdited(
        study_digest=study_digest(given.config),
        space_digest=given.space.digest,
        warm_start_digest=None if warm_start is None else warm_start.full_digest,
        **_sorted_trials(folder, saved, given, state),
    )
    edit = Edit(given, event, warm_start, len(state.trials))
    if state.trials and not edit.n_kept:
        raise ConfigError(
            f"{folder.path}: none of the {edit.n_trials} trials fits the new space, so "
            "there is nothing to go on with; start a new study with --name\n"
            + "\n".join(edit.lines()[1:])
        )
    return edit


def make_edit(folder: StudyFolder, edit: Edit) -> None:
    """Make the edit; under the study's lock.

    Raises:
        InfrastructureError: if it cannot be written; the study is then as it was.
    """
    pending = folder.pending_edit
    pending.remove()
    save_study(pending, edit.study)
    save_warm_start(pending, edit.warm_start)
    Journal.open(folder.journal).append(edit.event)
    finish_edit(folder)


def finish_edit(folder: StudyFolder) -> None:
    """Do what is left of an edit whose event is in the journal; else forget it."""
    pending = folder.pending_edit
    if not pending.path.is_dir():
        return
    state = folder.state()
    if pending.study_file.is_file() and pending.space_file.is_file():
        study, warm_start = saved_study(pending), saved_warm_start(pending)
        told = None if warm_start is None else warm_start.full_digest
        written = (study_digest(study.config), study.space.digest, told)
        if written == (
            state.study_digest,
            state.space_digest,
            state.warm_start_digest,
        ):
            save_study(folder, study)
            save_warm_start(folder, warm_start)
    pending.remove()


def _problems(folder: StudyFolder, saved: Study, given: Study) -> Iterator[str]:
    """Yield what no edit may change."""
    free: tuple[str, ...] = (*FREE, *EDITABLE)
    if not has_promotion(folder):
        free = (*free, "promotion")
    for key in changed_keys(saved.config, given.config, free):
        section = key.partition(".")[0]
        yield f"{key}: {_REASONS.get(section, 'it is fixed when a study begins')}"
    if has_promotion(folder):
        yield "space: a trial of this one has been promoted"
    if saved.space.family != given.space.family:
        yield f"space: its family is {given.space.family}, not {saved.space.family}"
        return
    before, after = saved.base, given.base
    if before.training.epochs != after.training.epochs:
        yield (
            f"configuration.training.epochs: {after.training.epochs}, not "
            f"{before.training.epochs}; trials of different length cannot be compared"
        )
    settings = get_family(given.space.family).settings
    if settings(before) != settings(after):
        yield (
            "configuration: the packed store before anything is sampled would be "
            "another one, and the split was made on it; keep its settings"
        )


def _sorted_trials(
    folder: StudyFolder, saved: Study, given: Study, state: StudyState
) -> dict[str, Any]:
    """Return `configurations` and `set_aside` of the event."""
    configurations: dict[int, FlatConfiguration] = {}
    set_aside: dict[int, SetAside] = {}
    for shown in state.trials:
        number = shown.number
        outside = state.outside.get(number)
        record = shown if outside is None else outside.record
        complete: Mapping[str, JsonValue] = (
            _complete(saved, record.configuration)
            if outside is None
            else outside.words.configuration
        )
        flat, reason = _fitted(given, complete)
        reason = reason or _lost_checkpoint(folder, record, was_outside=bool(outside))
        if reason:
            content = dict(complete)
            set_aside[number] = SetAside(reason=reason, configuration=content)
        elif flat != dict(record.configuration):
            configurations[number] = flat
    return {"configurations": configurations, "set_aside": set_aside}


def _fitted(
    given: Study, complete: Mapping[str, JsonValue]
) -> tuple[dict[str, Value], str]:
    """Return `complete` as a configuration of the new space, or why it is none."""
    space = given.space
    flat = _flat(space, complete)
    faults = space.faults(flat)
    if faults:
        return {}, "; ".join(f"{key}: {fault}" for key, fault in faults.items())
    broken = [rule for rule in space.rules if not rule.holds(flat)]
    if broken:
        return {}, broken[0].describe_break(flat)
    now = _complete(given, flat)
    for key in sorted(now.keys() | complete.keys()):
        old, new = complete.get(key), now.get(key)
        if old != new:
            return {}, f"{key} was {old} in the trial, and is {new} now"
    return flat, ""


def _flat(space: Space, complete: Mapping[str, JsonValue]) -> dict[str, Value]:
    """Return the values of the parameters; null where they are inactive."""
    values: dict[str, Value] = {
        name: value
        for name in space.parameters
        if not isinstance(value := complete.get(name), list | dict)
    }
    try:
        return space.resolve(values)
    except KeyError:
        # A list stands where the space wants a plain value; `faults` says so.
        return values


def _complete(study: Study, flat: FlatConfiguration) -> dict[str, JsonValue]:
    try:
        config = study.space.configuration(flat, study.config.configuration)
    except ConfigError:
        # The trial failed for this; the same values fail in an edited space too.
        base = study.base.model_dump(mode="json")
        return flatten(merge(base, unflatten(flat)))
    return flatten(config.model_dump(mode="json"))


def _lost_checkpoint(
    folder: StudyFolder, record: TrialRecord, *, was_outside: bool
) -> str:
    """Return why an unfinished trial that was set aside cannot go on; empty if it can.

    While it was aside, nothing kept its checkpoint.
    """
    checkpoint = record.last_checkpoint
    if not was_outside or record.outcome is not None or checkpoint is None:
        return ""
    if folder.absolute(checkpoint).exists():
        return ""
    return "it fits again, but it was unfinished and its checkpoint is gone"
