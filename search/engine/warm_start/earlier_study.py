"""An earlier study as far as a new one can use it: what was tried, in which order."""

import hashlib
from collections.abc import Mapping, Sequence

from pydantic import Field

from search.engine.ranking import ranks
from search.journal.records import TrialRecord
from search.space.values import FlatConfiguration, Value
from sitenet_core.config import StrictModel

MAX_TRIALS = 300
"""Trials that are taken of one study: the best third of this number, and others at even
steps of rank, so that what is saved and computed stays bounded."""


class EarlierTrial(StrictModel):
    """One trial, by its configuration and its rank."""

    number: int = Field(ge=0)
    configuration: dict[str, Value]
    """Dotted key → value of everything known: of a study of ours the complete
    configuration, so also what that study held fixed; of other people's runs in MLflow
    their parameters."""
    rank: float = Field(ge=0, le=1)
    """0 for the best … 1 for the worst, see `ranks`."""


class EarlierStudy(StrictModel):
    """Trials of one earlier study that have a rank, in order of number."""

    name: str
    """As the study file names it."""
    place: str
    """Folder or MLflow store that it was read from."""
    trials: tuple[EarlierTrial, ...]

    @classmethod
    def of(
        cls,
        name: str,
        place: str,
        records: Sequence[TrialRecord],
        complete: Mapping[int, FlatConfiguration] | None = None,
    ) -> "EarlierStudy":
        """Return the study with `records`.

        Args:
            name: see the field.
            place: see the field.
            records: its trials.
            complete: number of a trial → its complete configuration, where more is
                known than the record says.
        """
        found = _bounded(ranks(records))
        trials = tuple(
            EarlierTrial(
                number=record.number,
                configuration=dict(
                    (complete or {}).get(record.number, record.configuration)
                ),
                rank=found[record.number],
            )
            for record in records
            if record.number in found
        )
        return cls(name=name, place=place, trials=trials)

    @property
    def digest(self) -> str:
        """SHA-256 of the trials."""
        text = self.model_dump_json(include={"trials"})
        return hashlib.sha256(text.encode()).hexdigest()


def _bounded(found: Mapping[int, float]) -> dict[int, float]:
    """Return at most MAX_TRIALS of the ranks, as they are."""
    order = sorted(found, key=lambda number: (found[number], number))
    best, others = order[: MAX_TRIALS // 3], order[MAX_TRIALS // 3 :]
    room = MAX_TRIALS - len(best)
    if len(others) > room:
        step = (len(others) - 1) / (room - 1)
        others = [others[round(step * k)] for k in range(room)]
    return {number: found[number] for number in (*best, *others)}
