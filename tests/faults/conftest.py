"""The quick set runs with all tests, the long one by `make faults` (`FAULTS=long`)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fault_driver import Nursery

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("FAULTS") == "long"
LONG_ONES = ("mlflow_server", "promotion_kills", "ray")
collect_ignore = [] if LONG else [f"test_long_{name}.py" for name in LONG_ONES]


@pytest.fixture(scope="session")
def kills() -> int:
    """How many drivers are killed at random points of simulated studies."""
    return 200 if LONG else 20


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """A process that forks drivers."""
    nursery = Nursery(ROOT)
    yield nursery
    nursery.close()
