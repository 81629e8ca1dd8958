"""A promotion that the kernel kills for its memory, in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.promotable_study import divisions, simple_study

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, signal, sys
from pathlib import Path
from search.promotion import promote
from search.study import StudyFolder
from sitenet_core.training.module import TrainingModule

error = TrainingModule._error

def group(self, batch):
    if batch.n_crystals > 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return error(self, batch)

TrainingModule._error = group
promote(StudyFolder(Path(sys.argv[1])), threads=1)
"""
"""Promotes where the kernel kills whoever has more than four crystals in memory."""


def test_a_promotion_that_the_kernel_kills_ends_after_a_few_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITENET_STORES", str(tmp_path / "stores"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = simple_study(tmp_path)
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", PROGRAM, str(folder.path)]
    codes: list[int] = []
    while 0 not in codes and len(codes) < 6:
        done = subprocess.run(command, env=os.environ | path, check=False)
        codes.append(done.returncode)
    assert codes[:2] == [-signal.SIGKILL] * 2
    assert codes[-1] == 0
    assert len(divisions(folder)) == len(codes) - 1
    assert folder.state().ended == "promoted"
