"""How a study stands, in words and as JSON, from its journal alone."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.engine.budget import Budget, Spent
from search.engine.disk import DiskUse, disk_use
from search.engine.fidelity import Fidelity
from search.engine.segment import EndReason
from search.journal import OBJECTIVE, StudyState, TrialRecord
from search.study.agreement import rung_agreements
from search.study.folder import StudyFolder
from search.study.limits import study_budget, used_of_budget
from search.study.lock import lock_owner
from search.study.resolve import saved_study
from sitenet_core.errors import InfrastructureError, NoTrialSucceededError


@dataclass(frozen=True)
class StudySummary:
    """A study at one moment."""

    folder: Path
    state: StudyState
    unit: str
    budget: Budget
    disk: DiskUse
    fidelity: Fidelity
    """Names the rungs."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the last session that searched."""
        return self.state.search_ended == EndReason.INTERRUPTED.value

    @property
    def ended_by_failures(self) -> bool:
        """Whether the last session that searched gave up: trials failed in a row."""
        return self.state.search_ended == EndReason.FAILURES.value

    @property
    def driver_was_killed(self) -> bool:
        """Whether the last session neither runs nor ended in good order."""
        return (
            not self.state.session_open
            and self.state.session > 0
            and (self.state.ended is None)
        )

    @property
    def promotion_is_unfinished(self) -> bool:
        """Whether the last session was a promotion and left something to do."""
        state = self.state
        was_promotion = state.purpose == "promotion" and not state.session_open
        return was_promotion and state.ended != "promoted"

    @property
    def counts(self) -> dict[str, int]:
        """Trials by outcome; `unfinished` has none yet."""
        state = self.state
        words = (state.outcome_of(t.number) or "unfinished" for t in state.trials)
        return dict(sorted(Counter(str(word) for word in words).items()))

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `--json`."""
        best = self.state.best
        return {
            "name": self.state.name,
            "folder": str(self.folder),
            "session": self.state.session,
            "running": self.state.session_open,
            "ended": self.state.search_ended,
            "objective": OBJECTIVE,
            "unit": self.unit,
            "budget": _limits(self.budget),
            "spent": _used(Spent.of(self.state)),
            "disk": {
                "bytes": self.disk.total,
                "checkpoint_bytes": self.disk.checkpoints,
            },
            "rungs": [
                {"level": self.fidelity.name_of(found.rung), **asdict(found)}
                for found in rung_agreements(self.state.trials)
            ],
            "seconds": round(self.state.seconds, 1),
            "counts": self.counts,
            "best": None if best is None else self._trial(best),
            "trials": [self._trial(t) for t in self.state.trials],
        }

    def lines(self) -> list[str]:
        """Return what a person wants to know, line by line."""
        counts = ", ".join(f"{n} {word}" for word, n in self.counts.items())
        trials, *others = used_of_budget(Spent.of(self.state), self.budget)
        begun = ", ".join([f"{trials} ({counts or 'none yet'})", *others])
        lines = [f"study {self.state.name}: {begun}"]
        best = self.state.best
        if best is not None:
            value = f"{OBJECTIVE} {best.value:.5g} {self.unit}"
            lines.append(f"best: trial {best.number}, {value}")
            if best.bundle is not None:
                lines.append(f"bundle: {self.folder / best.bundle}")
        elif (furthest := self._furthest) is not None:
            value = f"{OBJECTIVE} {furthest.value:.5g} {self.unit}"
            lines.append(
                f"no trial is complete; best of the deepest rung: trial "
                f"{furthest.number} at epoch {max(furthest.rung_values)}, {value}"
            )
        found = rung_agreements(self.state.trials)
        agreements = (a.line(self.fidelity) for a in found)
        lines.extend(line for line in agreements if line is not None)
        lines.extend(
            f"trial {t.number} {t.outcome}: {t.message}"
            for t in self.state.trials
            if t.outcome is not None and t.outcome.is_failure
        )
        used = f"{_size(self.disk.total)}, checkpoints {_size(self.disk.checkpoints)}"
        lines.append(f"folder: {self.folder} ({used})")
        if self.state.search_ended == EndReason.EXHAUSTED.value:
            lines.append(
                "every configuration of the space has a trial, so that no more begin; "
                "the study goes on with a larger space and --edit"
            )
        if self.promotion_is_unfinished:
            name = self.state.name
            lines.append(f"its promotion did not end; `sitenet promote {name}` goes on")
        elif self.driver_was_killed:
            lines.append("its driver was killed; go on with --resume")
        if self.interrupted:
            lines.append("interrupted in good order; go on with --resume")
        if self.ended_by_failures:
            lines.append(self._why_it_gave_up)
        return lines

    def require_success(self) -> None:
        """Raise an error if the search failed.

        A budget may end before any trial is complete; those that wait at a rung can be
        promoted, or go on.

        Raises:
            InfrastructureError: if trials failed in a row, after others had a value.
            NoTrialSucceededError: if no trial has a value; with the reasons.
        """
        if self._furthest is not None:
            if self.ended_by_failures:
                raise InfrastructureError(f"{self.folder}: {self._why_it_gave_up}")
            return
        reasons = Counter(t.message for t in self.state.trials if t.message)
        shown = "".join(f"\n  {n} × {text}" for text, n in reasons.most_common(5))
        counts = ", ".join(f"{n} {word}" for word, n in self.counts.items())
        raise NoTrialSucceededError(
            f"{self.folder}: no trial of the study reached a rung "
            f"({counts or 'none was started'}); logs and tracebacks lie in "
            f"{self.folder / 'trials'}. A larger budget and --resume go on with "
            f"unfinished trials.{shown}"
        )

    @property
    def _why_it_gave_up(self) -> str:
        details = self.state.details
        failed = [t for t in self.state.trials if t.outcome and t.outcome.is_failure]
        # An edit since then may have set all of them aside.
        last = max(failed, key=lambda t: details[t.number].ended_at, default=None)
        shown = "" if last is None else f", trial {last.number} with: {last.message}"
        return (
            "the search gave up, because trial after trial failed before its first "
            f"epoch{shown}; mend the cause, then go on with --resume"
        )

    @property
    def _furthest(self) -> TrialRecord | None:
        """The best trial of the deepest rung that one reached without failing."""
        reached = [
            t
            for t in self.state.trials
            if t.rung_values and not (t.outcome is not None and t.outcome.is_failure)
        ]
        return min(
            reached,
            key=lambda t: (-max(t.rung_values), t.value, t.number),
            default=None,
        )

    def _trial(self, record: TrialRecord) -> dict[str, Any]:
        details = self.state.details[record.number]
        outcome = self.state.outcome_of(record.number)
        return {
            "trial": record.number,
            "outcome": None if outcome is None else str(outcome),
            "value": record.value,
            "epoch": record.last_epoch,
            "source": record.source,
            "configuration": dict(record.configuration),
            "attempts": record.attempts,
            "seconds": round(details.seconds, 3),
            "memory": {
                "micro_batch": details.micro_batch,
                "halvings": details.halvings,
                "predicted_bytes": details.predicted_bytes,
                "memory_bytes": details.memory_bytes,
                "peak_bytes": details.peak_bytes,
            },
            "bundle": None
            if record.bundle is None
            else str(self.folder / record.bundle),
            "message": record.message,
        }


def study_summary(folder: StudyFolder) -> StudySummary:
    """Return how the study in `folder` stands.

    Raises:
        InfrastructureError: if its journal is damaged.
    """
    study = saved_study(folder)
    config = study.config
    return StudySummary(
        folder=folder.path,
        state=_current_state(folder),
        unit=config.data.target.unit,
        budget=study_budget(config.budget),
        disk=disk_use(folder.path),
        fidelity=study.fidelity,
    )


def _size(n_bytes: int) -> str:
    """Return a number of bytes as a person reads it."""
    if n_bytes < 1e6:
        return f"{n_bytes / 1e3:.0f} kB"
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.2f} GB"


def _limits(budget: Budget) -> dict[str, Any]:
    hours = None if budget.gpu_seconds is None else budget.gpu_seconds / 3600
    return {
        "trials": budget.trials,
        "epochs": budget.epochs,
        "wall_clock_seconds": budget.seconds,
        "gpu_hours": hours,
    }


def _used(spent: Spent) -> dict[str, Any]:
    """Return what is used up, under the names of the limits."""
    return {
        "trials": spent.trials,
        "epochs": spent.epochs,
        "wall_clock_seconds": round(spent.seconds, 1),
        "gpu_hours": round(spent.gpu_seconds / 3600, 4),
    }


def _current_state(folder: StudyFolder) -> StudyState:
    """Return the state; nothing runs in it if its driver is known to be dead."""
    state = folder.state()
    owner = lock_owner(folder.lock) if state.session_open else None
    return state if owner is None or not owner.is_dead else state.without_driver()
