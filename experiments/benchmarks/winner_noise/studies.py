"""Studies of a table: 100 trials by the real searcher, each trained with one seed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from experiments.benchmarks.winner_noise.tables import Table
from search.engine import searchers
from search.engine.searchers import next_proposal
from search.engine.searchers.factory import make_searcher
from search.journal import TrialRecord
from search.space import FlatConfiguration
from search.trial.outcome import Outcome

N_TRIALS = 100
_MAX_DRAWS = 1000


@dataclass(frozen=True)
class Job:
    """One study."""

    table: str
    searcher: str
    seed: int

    @property
    def file(self) -> str:
        """Name of its file in the cache; of other code, another one."""
        table = self.table.replace("/", "-")
        return f"{table}-{self.searcher}-{self.seed}-{code_digest()[:12]}.json"


@dataclass(frozen=True)
class Search:
    """What a study evaluated, in order of trial."""

    rows: tuple[int, ...]
    search_seed: int
    """Column of the table that every trial was trained with, as a study's trials all
    have the seed of its configuration."""

    def further_seeds(self, table: Table) -> list[int]:
        """Return the other columns, in an order of this study's own."""
        others = [s for s in range(table.n_seeds) if s != self.search_seed]
        order = np.random.default_rng((len(others), *self.rows[:4])).permutation(others)
        return [int(seed) for seed in order]

    def records(self, table: Table) -> tuple[TrialRecord, ...]:
        """Return the trials as a journal tells them, completed after one epoch."""
        return tuple(
            _record(number, {"row": row}, float(table.errors[row, self.search_seed]))
            for number, row in enumerate(self.rows)
        )


def search(table: Table, job: Job) -> Search:
    """Return the trials of a study, proposed one after the other.

    A configuration that the table has not with every seed (half of NAS-Bench-201) is
    replaced by a random one that it has.
    """
    searcher = make_searcher(job.searcher)
    search_seed = job.seed % table.n_seeds
    records: list[TrialRecord] = []
    rows: list[int] = []
    for trial in range(N_TRIALS):
        proposal = next_proposal(
            searcher, table.space, records, trial=trial, seed=job.seed
        )
        flat, row = _listed(table, proposal.configuration, (job.seed, trial))
        value = float(table.errors[row, search_seed])
        records.append(_record(trial, flat, value))
        rows.append(row)
    return Search(tuple(rows), search_seed)


def load_search(job: Job, folder: Path) -> Search | None:
    """Return a study from the cache; None if it was not done with this code."""
    path = folder / job.file
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return Search(tuple(content["rows"]), content["search_seed"])


def save_search(found: Search, job: Job, folder: Path) -> None:
    """Keep a study."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{job.file}.partial"
    content = {"rows": found.rows, "search_seed": found.search_seed}
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(folder / job.file)


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the SHA-256 of the searchers' sources and of this file's.

    Once per process, which runs the code that it has read, whatever changes on disk.
    """
    folder = Path(searchers.__file__).parent
    files = [*sorted(folder.glob("*.py")), Path(__file__)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _listed(
    table: Table, proposed: FlatConfiguration, seed: Sequence[int]
) -> tuple[FlatConfiguration, int]:
    flat = proposed
    numbers = np.random.default_rng((*seed, 1))
    for _ in range(_MAX_DRAWS):
        row = table.row(flat)
        if row is not None:
            return flat, row
        flat = table.space.sample(numbers)
    raise RuntimeError(f"{table.name}: {_MAX_DRAWS} configurations lack a seed")


def _record(
    number: int, flat: Mapping[str, bool | int | float | str | None], value: float
) -> TrialRecord:
    return TrialRecord(
        number,
        dict(flat),
        outcome=Outcome.COMPLETED,
        rung_values={1: value},
        epoch_values={1: value},
        last_epoch=1,
    )
