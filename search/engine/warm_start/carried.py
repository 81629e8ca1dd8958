"""What is carried over into one space, with an account of every trial."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from search.engine.searchers.protocol import Earlier, Observation
from search.engine.warm_start.earlier_study import EarlierStudy
from search.engine.warm_start.portfolio import PORTFOLIO, Tried, portfolio
from search.engine.warm_start.translation import (
    Translation,
    UntranslatableError,
    known_values,
    translate,
)
from search.space.space import Space
from search.space.values import Value
from sitenet_core.config import StrictModel


class StudyNote(StrictModel):
    """What became of the trials of one earlier study."""

    name: str
    digest: str
    """SHA-256 of its trials as they were read."""
    trials: int
    """Trials with a rank."""
    observations: int
    """Those that the new space can hold as they were."""
    changed: int
    """Those with a value filled in or moved; no observations, yet candidates."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Reason → number of the trials that cannot be carried over."""

    def describe(self) -> str:
        """Return the account as one line for a person."""
        words = [f"{self.observations} of {self.trials} ranked trials as observations"]
        if self.changed:
            words.append(f"{self.changed} with a value filled in or moved")
        words += [f"{n} left out: {reason}" for reason, n in self.left_out.items()]
        return f"{self.name}: {'; '.join(words)}"


class WarmStart(StrictModel):
    """The studies that were read, and what the new study takes from them."""

    version: int = Field(default=1, ge=1, le=1)
    space_digest: str
    """Of the space that it was made for."""
    portfolio: tuple[dict[str, Value], ...]
    """Flat configurations of that space, in the order in which they are tried."""
    notes: tuple[StudyNote, ...]
    studies: tuple[EarlierStudy, ...]
    """Everything that was read, so that it can be carried into an edited space."""

    @property
    def full_digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def earlier(self, space: Space, base: Mapping[str, Value]) -> Earlier:
        """Return what searchers are given; see `carry_over` for the arguments."""
        carried = _each_once(self.studies, space, known_values(space, base))
        return Earlier(self.portfolio, _observations(carried))

    def lines(self) -> list[str]:
        """Return what was carried over, line by line."""
        observations = sum(note.observations for note in self.notes)
        what = f"{len(self.portfolio)} configurations and {observations} observations"
        return [
            f"warm start: {what} of {len(self.notes)} earlier studies",
            *(f"  {note.describe()}" for note in self.notes),
        ]


def carry_over(
    studies: Sequence[EarlierStudy],
    space: Space,
    base: Mapping[str, Value],
    size: int = PORTFOLIO,
) -> WarmStart:
    """Return what `studies` tell a study of `space`.

    Args:
        studies: in the order in which the study file names them.
        space: of the new study.
        base: dotted key → value of the new study's configuration before anything is
            sampled.
        size: of the portfolio.
    """
    carried = _each_once(studies, space, known_values(space, base))
    chosen = portfolio(
        space,
        [[Tried(t.configuration, rank) for t, rank in c.trials] for c in carried],
        size,
        given=[space.resolve(values) for values in space.known_good],
    )
    return WarmStart(
        space_digest=space.digest,
        portfolio=chosen,
        notes=tuple(c.note() for c in carried),
        studies=tuple(studies),
    )


@dataclass
class _Carried:
    """One study in the new space."""

    study: EarlierStudy
    trials: list[tuple[Translation, float]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, study: EarlierStudy, space: Space, known: Mapping[str, Value]
    ) -> "_Carried":
        carried = cls(study)
        for trial in study.trials:
            try:
                translation = translate(trial.configuration, space, known)
            except UntranslatableError as error:
                carried.left_out[str(error)] += 1
            else:
                carried.trials.append((translation, trial.rank))
        return carried

    def note(self) -> StudyNote:
        exact = sum(translation.is_exact for translation, _ in self.trials)
        return StudyNote(
            name=self.study.name,
            digest=self.study.digest,
            trials=len(self.study.trials),
            observations=exact,
            changed=len(self.trials) - exact,
            left_out=dict(self.left_out.most_common()),
        )


def _each_once(
    studies: Sequence[EarlierStudy], space: Space, known: Mapping[str, Value]
) -> list[_Carried]:
    """Return every study in the new space; one that is named again hands on nothing.

    A journal and its mirror in MLflow, or two ways to write a folder, would otherwise
    count twice.
    """
    carried: list[_Carried] = []
    names: dict[str, str] = {}
    for study in studies:
        if study.digest in names:
            same = f"the same trials as those of {names[study.digest]}"
            carried.append(_Carried(study, left_out=Counter({same: len(study.trials)})))
        else:
            names[study.digest] = study.name
            carried.append(_Carried.of(study, space, known))
    return carried


def _observations(carried: Sequence[_Carried]) -> tuple[Observation, ...]:
    return tuple(
        Observation(translation.configuration, rank)
        for study in carried
        for translation, rank in study.trials
        if translation.is_exact
    )
