"""The command line in this process, and small data sets and models for it."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from support.structure_files import cif, perovskite, rock_salt

from search.cli.main import main
from sitenet_core.bundle import save_bundle
from sitenet_core.bundle.header import BundleData
from sitenet_core.bundle.save import BundleDescription
from sitenet_core.config import TargetConfig, merge
from sitenet_core.families import ModelMeta, get_family


@dataclass(frozen=True)
class Answer:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output; fails if there is anything else."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of the CSV on standard output."""
        return list(csv.DictReader(io.StringIO(self.out)))


Sitenet = Callable[..., Answer]
"""Runs `sitenet` with these arguments."""


@pytest.fixture
def sitenet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sitenet:
    """Return the command line; it works in `tmp_path` and finds nothing elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SITENET_STORES", str(tmp_path / "stores"))
    for name in ("SITENET_DATA", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    # Stores are built in this process: to start workers would take longer.
    monkeypatch.setattr("sitenet_core.families.stores.available_cpus", lambda: 1)

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse ends a wrong command line so
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    return run


def write_table(folder: Path, lines: Sequence[str], files: Iterable[str] = ()) -> Path:
    """Write a CSV of `lines` and rock salts called `files` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "id_prop.csv").write_text("\n".join(lines) + "\n")
    for name in files:
        (folder / f"{name}.cif").write_text(cif())
    return folder


def write_salts(folder: Path, n: int = 8) -> Path:
    """Write `n` rock salts (2 sites) whose target is the edge of the cubic cell, Å."""
    lines = ["id,edge,fold"]
    pairs = [(c, a) for c in ("Li", "Na", "K", "Rb") for a in ("F", "Cl", "Br", "I")]
    write_table(folder, [])
    for i, pair in enumerate(pairs[:n]):
        crystal = rock_salt(*pair, a=4 + 0.2 * i)
        name = "".join(pair)
        crystal.get_primitive_structure().to(str(folder / f"{name}.cif"))
        lines.append(f"{name},{crystal.lattice.a},{i % 4}")
    return write_table(folder, lines)


def add_perovskites(folder: Path) -> Path:
    """Add two crystals of 5 sites to the salts: one in fold 0, one in fold 1."""
    lines = (folder / "id_prop.csv").read_text().split()
    for fold, metal in enumerate(("Ba", "Sr")):
        perovskite(metal, "Ti", "O").to(str(folder / f"{metal}TiO3.cif"))
        lines.append(f"{metal}TiO3,3.9,{fold}")
    return write_table(folder, lines)


def write_training(path: Path, source: Path, **changes: Any) -> Path:
    """Write a file for `sitenet train`: two epochs on `source`."""
    document = {
        "version": 1,
        "name": path.stem,
        "preset": "test",
        "configuration": {"cell": {"max_atoms": 8}, "training": {"epochs": 2}},
        "data": {
            "source": str(source),
            "target": {"column": "edge", "name": "edge", "unit": "Å"},
        },
    }
    with path.open("w") as file:
        YAML().dump(merge(document, changes), file)
    return path


def write_bundle(folder: Path) -> Path:
    """Write the model of first weights; nothing is trained."""
    family = get_family("sitenet")
    config = family.Config.from_preset("test", {"cell": {"max_atoms": 8}})
    target = TargetConfig(column="edge", name="edge", unit="Å")
    data = BundleData(
        source="none",
        source_digest="0",
        store_digest="0",
        split_digest="0",
        split={},
        train_on="train",
        n_train=0,
        n_validation=0,
        n_test=0,
    )
    # Seeded here: the numbers must not depend on which test ran before.
    with torch.random.fork_rng():
        torch.manual_seed(1)
        weights = family.build(config, ModelMeta(target, 1)).state_dict()
    return save_bundle(folder, weights, BundleDescription(config, target, data, 0, {}))
