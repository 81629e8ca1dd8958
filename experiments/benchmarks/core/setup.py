"""What a run of the benchmark measures, as a file that every process of it reads."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NAME = "setup.json"


@dataclass(frozen=True)
class Setup:
    """Sizes and places of one run; the defaults are those of the report."""

    work: Path
    """Folder of samples and stores; never committed."""
    data: Path
    """Parquet table that the structures are drawn from."""
    published: Path | None = None
    """Checkout of the published code; None leaves its column out."""
    device: str = "cpu"
    compiled: bool = True
    """Measure the compiled network too."""
    preset: str = "paper"
    sites: int = 1200
    """Unique sites of the batch of a step."""
    limits: tuple[int, ...] = (500, 100)
    """Atoms per supercell, the largest first."""
    feature_limits: tuple[int, ...] = (50, 100, 500)
    pool: int = 300
    """Structures drawn at random."""
    featurised: int = 250
    """Structures of the pool whose features are timed."""
    published_featurised: int = 12
    """The same for the published code."""
    cells: tuple[int, ...] = (500, 1000)
    """Atoms of made-up primitive cells of low symmetry."""
    accuracy: tuple[tuple[int, int], ...] = ((100, 600), (500, 150))
    """Atoms per supercell and unique sites where gradients are compared."""
    training_steps: int = 30
    """Steps of the training before predictions are compared."""
    curve: tuple[tuple[int, int], ...] = (
        (100, 8),
        (500, 8),
        (500, 40),
        (500, 200),
        (500, 600),
        (500, 1200),
        (500, 4800),
    )
    """Atoms per supercell and unique sites of the points of the plot."""
    dense_curve_sites: int = 1200
    """The dense network takes part in the plot up to this many unique sites."""
    pair_budget: int = 16384
    """Pairs per group where growth with the supercell is measured."""
    seed: int = 0

    def save(self) -> None:
        """Write the file."""
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / NAME).write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """Return it as JSON."""
        content = {k: str(v) if isinstance(v, Path) else v for k, v in _items(self)}
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def load(cls, work: Path) -> "Setup":
        """Return the setup whose file is in `work`."""
        content = json.loads((work / NAME).read_text(encoding="utf-8"))
        paths = {k: content[k] and Path(content[k]) for k in _PATHS}
        tuples = {k: _tuple(v) for k, v in content.items() if isinstance(v, list)}
        return cls(**(content | paths | tuples))


_PATHS = ("work", "data", "published")


def quick(setup: Setup) -> Setup:
    """Return a setup that touches everything in seconds and measures nothing."""
    small: dict[str, Any] = {
        "compiled": False,
        "preset": "test",
        "sites": 24,
        "limits": (12, 6),
        "feature_limits": (6, 12),
        "pool": 8,
        "featurised": 4,
        "published_featurised": 1,
        "cells": (12, 20),
        "accuracy": ((12, 16),),
        "training_steps": 2,
        "curve": ((6, 4), (12, 16)),
        "dense_curve_sites": 4,
        "pair_budget": 64,
    }
    return Setup(**(dict(_items(setup)) | small))


def _items(setup: Setup) -> list[tuple[str, Any]]:
    return [(k, getattr(setup, k)) for k in asdict(setup)]


def _tuple(value: list[Any]) -> tuple[Any, ...]:
    return tuple(_tuple(v) if isinstance(v, list) else v for v in value)
