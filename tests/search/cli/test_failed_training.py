"""A training that fails is no defect of the machinery."""

from pathlib import Path
from typing import Any

import pytest
from support.command_line import Sitenet, write_salts, write_training

from sitenet_core.errors import (
    NonFiniteLossError,
    OutOfMemoryError,
    TrialError,
    TrialTimeoutError,
)


@pytest.mark.parametrize(
    "kind", [NonFiniteLossError, OutOfMemoryError, TrialTimeoutError]
)
def test_a_failed_training_has_the_exit_code_of_no_success(
    sitenet: Sitenet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[TrialError],
) -> None:
    def failing(*_: Any) -> None:
        raise kind("it ended in epoch 2")

    write_salts(tmp_path / "set")
    write_training(tmp_path / "job.yaml", Path("set"))
    monkeypatch.setattr("sitenet_core.training.job.fit", failing)
    answer = sitenet("train", "job.yaml")
    assert (answer.code, answer.err) == (4, "sitenet: it ended in epoch 2\n")
