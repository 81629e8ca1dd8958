"""Toy data sets and recipes, and a builder that runs as a program of its own."""

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from sitenet_core.config import DataConfig, StrictModel
from sitenet_core.data import (
    CRYSTAL,
    ArraySpec,
    BuildOptions,
    BuildProgress,
    FeatureRecipe,
    PackedStore,
    build_store,
    store_path,
    writer,
)
from sitenet_core.errors import StructureError
from sitenet_core.structures.sources.source import RawItem, Source

DELAY = "TOY_DELAY_SECONDS"
"""Environment variable: how long featurising one crystal takes; not in the digest."""
RECORD = "TOY_RECORD_SECONDS"
"""Environment variable: least time between two records of progress."""


@dataclass(frozen=True)
class Toy:
    """A cubic crystal of `elements`, spread along the diagonal."""

    elements: tuple[str, ...] = ("Na", "Cl")
    edge: float = 5.0
    fail: str = ""
    """Reason of a StructureError."""
    crash: str = ""
    """Message of an exception that no one raises on purpose."""


def make_toy(toy: Toy) -> Structure:
    if toy.fail:
        raise StructureError(toy.fail)
    if toy.crash:
        raise ZeroDivisionError(toy.crash)
    n = len(toy.elements)
    coords = [[i / n] * 3 for i in range(n)]
    return Structure(Lattice.cubic(toy.edge), list(toy.elements), coords)


@dataclass(frozen=True)
class ToySource(Source):
    """Crystals from a list; the target of number i is i / 10."""

    toys: Sequence[Toy]
    ids: Sequence[str] = ()
    folds: Sequence[int | None] = ()
    values: Sequence[float] = ()
    label: str = "toys"
    drawn: list[int] = field(default_factory=list, compare=False)
    """Indices in the order in which `items` gave them out."""

    @property
    def name(self) -> str:
        return self.label

    @property
    def columns(self) -> tuple[str, ...]:
        return ("gap", "odd / name")

    @property
    def has_folds(self) -> bool:
        return bool(self.folds)

    def digest(self) -> str:
        content = repr([self.toys, self.ids, self.folds, self.values])
        return hashlib.sha256(content.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.toys)

    def items(self) -> Iterator[RawItem]:
        for index, toy in enumerate(self.toys):
            self.drawn.append(index)
            yield RawItem(
                id=self.ids[index] if self.ids else f"toy-{index:04d}",
                make=make_toy,
                payload=toy,
                labels={
                    "gap": self.values[index] if self.values else index / 10,
                    "odd / name": float("nan") if index % 2 else 1.0,
                },
                fold=self.folds[index] if self.folds else None,
            )


@dataclass(frozen=True)
class FirstOf(Source):
    """The first `n` crystals of another source, to keep a test short."""

    whole: Source
    n: int

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def columns(self) -> tuple[str, ...]:
        return self.whole.columns

    @property
    def has_folds(self) -> bool:
        return self.whole.has_folds

    def digest(self) -> str:
        return hashlib.sha256(f"{self.whole.digest()} {self.n}".encode()).hexdigest()

    def __len__(self) -> int:
        return min(self.n, len(self.whole))

    def items(self) -> Iterator[RawItem]:
        return islice(self.whole.items(), self.n)


class ToySettings(StrictModel):
    scale: float = 1.0


TOY_SCHEMA = (
    ArraySpec("n_unique_sites", CRYSTAL, "int32", "1", "sites"),
    ArraySpec("lattice", CRYSTAL, "float64", "Å", "lattice rows", (3, 3)),
    ArraySpec("atomic_numbers", "site", "uint8", "1", "atomic number"),
    ArraySpec("frac_coords", "site", "float64", "1", "coordinates", (3,)),
    ArraySpec("distance", "pair", "float32", "Å", "every site with every site"),
    ArraySpec("nothing", "bond", "uint16", "1", "a scope without a row"),
)


def featurise_toy(structure: Structure, settings: ToySettings) -> dict[str, np.ndarray]:
    time.sleep(float(os.environ.get(DELAY, "0")))
    return {
        "n_unique_sites": np.array(len(structure)),
        "lattice": structure.lattice.matrix * settings.scale,
        "atomic_numbers": np.array(structure.atomic_numbers),
        "frac_coords": structure.frac_coords,
        "distance": structure.distance_matrix.ravel() * settings.scale,
        "nothing": np.empty(0, dtype=np.uint16),
    }


def toy_recipe(
    featurise: Callable[..., dict[str, np.ndarray]] = featurise_toy, scale: float = 1.0
) -> FeatureRecipe:
    return FeatureRecipe("toy", 1, TOY_SCHEMA, ToySettings(scale=scale), featurise)


def featurise_and_die(
    structure: Structure, settings: ToySettings
) -> dict[str, np.ndarray]:
    """End the process as the kernel does when memory runs out."""
    os._exit(len(structure) + int(settings.scale))


LAST_HARMLESS = 400
"""Number of the last toy that `featurise_and_die_late` lives through, if not more."""


def featurise_and_die_late(
    structure: Structure, settings: ToySettings
) -> dict[str, np.ndarray]:
    """Be killed, as for want of memory, by crystals far behind in `toys`."""
    if structure.lattice.a > toys(LAST_HARMLESS + 1)[-1].edge + 1e-6:
        os.kill(os.getpid(), signal.SIGKILL)
    return featurise_toy(structure, settings)


def change_a_byte(file: Path) -> None:
    """Change a byte of a store's file, which keeps its size and number."""
    content = bytearray(file.read_bytes())
    content[3] ^= 64
    file.chmod(0o644)
    file.write_bytes(content)


def changed(name: str, value: np.ndarray) -> Callable[..., dict[str, np.ndarray]]:
    """Return a featuriser that gives another value for one array."""
    return partial(_featurise_changed, name=name, value=value)


def _featurise_changed(
    structure: Structure, settings: ToySettings, name: str, value: np.ndarray
) -> dict[str, np.ndarray]:
    return {**featurise_toy(structure, settings), name: value}


def toys(n: int, n_sites: Sequence[int] = (1, 2, 3)) -> list[Toy]:
    elements = ("Na", "Cl", "K", "Br", "Mg", "O", "Ca", "S")
    return [
        Toy(tuple(elements[: n_sites[i % len(n_sites)]]), 5 + i / 100) for i in range(n)
    ]


def build_toy(root: Path, source: ToySource, workers: int = 1) -> PackedStore:
    recipe = toy_recipe()
    build_store(source, recipe, BuildOptions(root, workers, max_failed_fraction=0.5))
    return PackedStore.open(store_path(source, recipe, root))


def data_config(column: str = "gap", **split: Any) -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "toys",
            "target": {"column": column, "name": column, "unit": "eV"},
            "split": split,
        }
    )


@dataclass(frozen=True)
class ListedStore:
    """What a split looks at in a store, without files."""

    ids: list[str]
    n_sites: np.ndarray
    reduced_formulas: list[str]
    folds: np.ndarray | None = None
    values: np.ndarray | None = None
    digest: str = "0" * 64

    @property
    def header(self) -> "ListedStore":
        return self

    @property
    def source(self) -> str:
        return "listed"

    def labels(self, column: str) -> np.ndarray:
        assert column == "gap"
        return np.zeros(len(self.ids)) if self.values is None else self.values

    def column(self, name: str) -> np.ndarray:
        assert name == "n_unique_sites"
        return self.n_sites

    def shuffled(self, order: np.ndarray) -> "ListedStore":
        """Return the same crystals in another order."""
        return replace(
            self,
            ids=[self.ids[i] for i in order],
            n_sites=self.n_sites[order],
            reduced_formulas=[self.reduced_formulas[i] for i in order],
            folds=None if self.folds is None else self.folds[order],
            values=None if self.values is None else self.values[order],
        )


def _announce(progress: BuildProgress) -> None:
    workers = [child.pid for child in multiprocessing.active_children()]
    sys.stdout.write(json.dumps({"read": progress.n_read, "workers": workers}) + "\n")
    sys.stdout.flush()


def mixed(n: int) -> ToySource:
    """Return `n` crystals, of which every 40th cannot be used."""
    listed = toys(n)
    listed[7::40] = [Toy(fail=f"reason {i}") for i in range(len(listed[7::40]))]
    return ToySource(listed, folds=[i % 5 for i in range(n)])


def main() -> None:
    """Build `mixed(N)` below ROOT with WORKERS processes; say how it goes."""
    root, n, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    writer.RECORD_SECONDS = float(os.environ.get(RECORD, writer.RECORD_SECONDS))
    source = mixed(n)
    build_store(source, toy_recipe(), BuildOptions(root, workers), _announce)


if __name__ == "__main__":
    main()
