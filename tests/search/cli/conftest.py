"""The command line, and one untrained model for all tests of this folder."""

from pathlib import Path

import pytest
from support.command_line import sitenet as sitenet  # noqa: PLC0414
from support.command_line import write_bundle


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle")
