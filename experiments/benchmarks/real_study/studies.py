"""One study of the comparison, and what its journal tells."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.journal import OBJECTIVE, EpochDone, read_journal
from search.study import StudyFolder
from sitenet_core.config import load_yaml, merge

HERE = Path(__file__).parent
SITENET = Path(sys.executable).with_name("sitenet")
ALGORITHMS: dict[str, dict[str, Any]] = {
    "default": {},
    "random-halving": {"searcher": "random"},
    "random": {"searcher": "random", "scheduler": {"kind": "none"}},
}
"""Name → section `algorithm` of the study file; an empty one is the default."""


@dataclass(frozen=True)
class Search:
    """A study by one algorithm with one seed."""

    algorithm: str
    seed: int
    work: Path
    """Folder of all studies."""

    @property
    def name(self) -> str:
        """Name of the study."""
        return f"{self.algorithm}-{self.seed}"

    def best_so_far(self) -> tuple[float, ...]:
        """Run the study, or what is missing of it; return its trace.

        Returns:
            (epochs,) smallest validation MAE up to each epoch of the budget, in eV, in
            the order in which epochs ended; infinity before the first finite one.
        """
        file = self._write()
        budget: int = load_yaml(file).data["budget"]["epochs"]
        values = self._values()
        if len(values) < budget:
            # A process of its own, as a user has.
            command = [str(SITENET), "search", "run", str(file), "--resume"]
            where = ["--dir", str(self.work), "--json"]
            subprocess.run([*command, *where], check=True, stdout=subprocess.DEVNULL)
            values = self._values()
        finite = [v if np.isfinite(v) else np.inf for v in values[:budget]]
        return tuple(np.minimum.accumulate(finite).tolist())

    def _values(self) -> list[float]:
        journal = StudyFolder(self.work / self.name).journal
        if not journal.exists():
            return []
        return [
            entry.event.metrics[OBJECTIVE]
            for entry in read_journal(journal)
            if isinstance(entry.event, EpochDone)
        ]

    def _write(self) -> Path:
        common = load_yaml(HERE / "study.yaml").data
        changes = {
            "name": self.name,
            "data": {"split": {"seed": self.seed}},
            "algorithm": {**ALGORITHMS[self.algorithm], "seed": self.seed},
        }
        folder = self.work / "files"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / "space.yaml", folder / "space.yaml")
        file = folder / f"{self.name}.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(merge(common, changes), indent=1), encoding="utf-8")
        return file
