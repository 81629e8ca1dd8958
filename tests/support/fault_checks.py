"""What must hold in a journal after any fault, read from its events and the work."""

from collections import Counter
from pathlib import Path
from typing import Any

from support.fault_work import FINISHED_LOG, begun

from search.journal import (
    Entry,
    SegmentFinished,
    SegmentStarted,
    StudyState,
    TrialFinished,
    TrialRecord,
    read_journal,
)


def finished_trials(journal: Path) -> dict[int, TrialRecord]:
    """Return the trials that have an outcome."""
    if not journal.exists():
        return {}
    trials = StudyState.read(journal).trials
    return {t.number: t for t in trials if t.outcome is not None}


def essence(state: StudyState) -> list[tuple[Any, ...]]:
    """Return what must not depend on how often, and where, the driver died."""
    return [
        (
            t.number,
            dict(t.configuration),
            t.source,
            t.outcome,
            dict(t.rung_values),
            dict(t.epoch_values),
            t.bundle,
        )
        for t in state.trials
    ]


def check_after_fault(folder: Path, before: dict[int, TrialRecord]) -> None:
    """Assert that nothing finished was lost or touched, and nothing done twice."""
    journal = folder / "journal.jsonl"
    now = finished_trials(journal)
    for number, record in before.items():
        assert now.get(number) == record, f"trial {number} was finished, and changed"
    entries = read_journal(journal) if journal.exists() else []
    check_no_trial_twice(entries)
    check_words_were_kept(folder, entries)
    check_work(folder, entries)


def check_no_trial_twice(entries: list[Entry]) -> None:
    """Assert that nothing happens to a trial after its end, and no rung comes twice."""
    ended: set[int] = set()
    rungs: Counter[tuple[int, int]] = Counter()
    for entry in entries:
        trial = getattr(entry.event, "trial", None)
        assert trial not in ended, f"event {entry.seq} comes after the trial's end"
        if isinstance(entry.event, TrialFinished):
            ended.add(entry.event.trial)
        if isinstance(entry.event, SegmentFinished):
            rungs[entry.event.trial, entry.event.epoch] += 1
    assert not rungs or max(rungs.values()) == 1, "a rung was trained for twice"


def check_words_were_kept(folder: Path, entries: list[Entry]) -> None:
    """Assert that what a worker was thanked for is in the journal."""
    path = folder / FINISHED_LOG
    lines = path.read_text().splitlines() if path.exists() else []
    thanked = {tuple(map(int, line.split())) for line in lines}
    known = {
        (e.event.trial, e.event.attempt, e.event.epoch)
        for e in entries
        if isinstance(e.event, SegmentFinished)
    }
    assert thanked <= known, "a worker was told that its end is journalled"


def check_work(folder: Path, entries: list[Entry]) -> None:
    """Assert that an attempt that was cut off repeats at most one epoch of work."""
    cut: Counter[int] = Counter()
    for entry in entries:
        if isinstance(entry.event, SegmentStarted):
            cut[entry.event.trial] += 1
        if isinstance(entry.event, SegmentFinished):
            cut[entry.event.trial] -= 1
    repeated: Counter[int] = Counter()
    for (trial, _epoch), times in begun(folder).items():
        repeated[trial] += times - 1
    for trial, times in repeated.items():
        assert times <= cut[trial], f"trial {trial}: {times} epochs for {cut[trial]}"


def check_at_the_end(folder: Path, *, trials: int) -> StudyState:
    """Assert that a study that ran to its end is whole; return its state."""
    state = StudyState.read(folder / "journal.jsonl")
    assert len(state.trials) == trials
    assert not any(t.running or t.interrupted for t in state.trials)
    assert (state.session_open, state.ended) == (False, "trials")
    return state
