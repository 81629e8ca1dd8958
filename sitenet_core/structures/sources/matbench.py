"""A Matbench v0.1 task by name, from the file that matminer downloads and keeps.

Ids and folds are Matbench's own (github.com/materialsproject/matbench, `data_ops.py`
and `generate_validation.py`): `mb-mp-gap-000001` counts rows from 1 with as many digits
as the number of rows has; the fold is the test fold of
`KFold(5, shuffle=True, random_state=18012019)` over the task's row order.
"""

import contextlib
import gzip
import hashlib
import logging
import math
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np

from sitenet_core.config import nearest
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.structures.read import structure_from_dict
from sitenet_core.structures.sources.source import RawItem, Source
from sitenet_core.structures.sources.split_json import read_split

logger = logging.getLogger(__name__)

N_FOLDS = 5
FOLD_SEED = 18012019
TASKS = {
    "matbench_dielectric": "n",
    "matbench_jdft2d": "exfoliation_en",
    "matbench_log_gvrh": "log10(G_VRH)",
    "matbench_log_kvrh": "log10(K_VRH)",
    "matbench_mp_e_form": "e_form",
    "matbench_mp_gap": "gap pbe",
    "matbench_perovskites": "e_form",
    "matbench_phonons": "last phdos peak",
}
"""The regression tasks on structures, and the column that each predicts."""


class MatbenchSource(Source):
    """The rows of a task in its official order, read one at a time.

    `matbench:mp_gap` and `matbench:matbench_mp_gap` are the same. The file is looked
    for in matminer's data folder (`MATMINER_DATA`, else inside matminer) and
    downloaded by matminer when it is not there.

    Raises:
        ConfigError: if there is no such regression task on structures.
        DataError: if the file can neither be found nor downloaded, or is damaged.
    """

    def __init__(self, task: str) -> None:
        self._task = task if task.startswith("matbench_") else f"matbench_{task}"
        if self._task not in TASKS:
            short = [name.removeprefix("matbench_") for name in TASKS]
            hint = nearest(self._task.removeprefix("matbench_"), short)
            raise ConfigError(
                f"matbench:{task}: is no regression task on crystal structures; "
                f"{hint} (classification and composition tasks are not supported)"
            )
        self._path = _dataset_file(self._task)
        self._hash = _checked_hash(self._path, self._task)
        with _open(self._path) as file, _damage(self._path):
            head, _ = read_split(file)
        self._n_rows = len(head["index"])
        self._positions = _positions(head["columns"], self._task, self._path)
        if self._n_rows < N_FOLDS:
            raise DataError(
                f"{self._path}: has {self._n_rows} rows; at least {N_FOLDS} are needed "
                "for the official folds"
            )

    @property
    def name(self) -> str:
        """`matbench:` and the task's full name."""
        return f"matbench:{self._task}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column that the task predicts, by matminer's name."""
        return (TASKS[self._task],)

    @property
    def has_folds(self) -> bool:
        """Every task has its official folds."""
        return True

    def digest(self) -> str:
        """Return the SHA-256 of the task's name and file."""
        return hashlib.sha256(f"{self._task}\n{self._hash}".encode()).hexdigest()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._n_rows

    def items(self) -> Iterator[RawItem]:
        """Return the rows, undecoded, in the official order."""
        folds = official_folds(self._n_rows)
        at_structure, at_target = self._positions
        with _open(self._path) as file, _damage(self._path):
            _, rows = read_split(file)
            for i, row in enumerate(rows):
                key = official_id(self._task, i, self._n_rows)
                value = row[at_target]
                label = math.nan if value is None else float(value)
                make = partial(structure_from_dict, name=key)
                labels = {self.columns[0]: label}
                yield RawItem(key, make, row[at_structure], labels, int(folds[i]))


def official_folds(n_rows: int) -> np.ndarray:
    """Return the test fold of each of `n_rows` rows, (n_rows,) int64."""
    from sklearn.model_selection import KFold  # takes a second to import

    folds = np.empty(n_rows, dtype=np.int64)
    splitter = KFold(N_FOLDS, shuffle=True, random_state=FOLD_SEED)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(n_rows))):
        folds[test] = fold
    return folds


def official_id(task: str, index: int, n_rows: int) -> str:
    """Return Matbench's id of row `index`, counted from 0 (`mb-mp-gap-000001`)."""
    prefix = task.replace("matbench", "mb").replace("_", "-")
    return f"{prefix}-{index + 1:0{len(str(n_rows))}d}"


def _dataset_file(task: str) -> Path:
    """Return where the task's file lies, downloaded if need be."""
    from matminer.datasets import utils
    from matminer.datasets.dataset_retrieval import get_dataset_attribute

    url = get_dataset_attribute(task, "url")
    suffix = get_dataset_attribute(task, "file_type")
    # Private functions, because the public `load_dataset` builds all 106,113 structures
    # of mp_gap in memory. matminer is pinned below 0.11; a test compares the two.
    path = Path(utils._get_data_home()) / f"{task}.{suffix}"  # noqa: SLF001
    if path.exists():
        return path
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints; stdout is for JSON
            utils._validate_dataset(  # noqa: SLF001
                str(path), url, get_dataset_attribute(task, "hash"), n_retries_allowed=0
            )
    except (OSError, UserWarning) as error:
        # matminer takes a file that broke off for whole the next time.
        path.unlink(missing_ok=True)
        raise DataError(
            f"matbench:{task}: cannot be downloaded ({type(error).__name__}); put the "
            f"file {url} at {path}, or set MATMINER_DATA to the folder that holds "
            f"{path.name}"
        ) from error
    return path


def _checked_hash(path: Path, task: str) -> str:
    from matminer.datasets.dataset_retrieval import get_dataset_attribute

    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != get_dataset_attribute(task, "hash"):
        logger.warning(
            "%s: is not the published file of %s; ids and folds follow the rule of "
            "Matbench on its rows but are not the official ones",
            path,
            task,
        )
    return found


def _open(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8")


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into an error that says what to do."""
    try:
        yield
    except (EOFError, OSError, zlib.error, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{path}: is damaged or not matminer's format ({error}); delete it, so "
            "that it is downloaded again"
        ) from error


def _positions(columns: list[str], task: str, path: Path) -> tuple[int, int]:
    wanted = ("structure", TASKS[task])
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise DataError(
            f"{path}: has no column {missing[0]!r}; it has {', '.join(columns)}: "
            "delete it, so that it is downloaded again"
        )
    return columns.index(wanted[0]), columns.index(wanted[1])
