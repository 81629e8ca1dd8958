"""Real crystals in a small Site-Net store, with their density to learn."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pymatgen.core import Structure
from support.crystals import prototype_structures

from sitenet_core.config import DataConfig, TargetConfig
from sitenet_core.data import BuildOptions, PackedStore, make_split, open_or_build
from sitenet_core.families import get_family, recipe
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.structures.sources.source import RawItem, Source
from sitenet_core.training import TrainingData

TARGET = TargetConfig(column="density", name="density", unit="g/cm³")
CHANGES = {"training": {"epochs": 4}, "batch": {"unique_sites": 24}}
CONFIG = SiteNetConfig.from_preset("test", CHANGES)


def small_prototypes(n: int) -> list[Structure]:
    """Return the first `n` prototypes of at most 12 sites."""
    return [s for s in prototype_structures() if len(s) <= 12][:n]


def nth_prototype(_: None, *, number: int) -> Structure:
    """Return one of `small_prototypes`; importable, so that workers can run it."""
    return small_prototypes(number + 1)[number]


@dataclass(frozen=True)
class PrototypeSource(Source):
    """Prototypes as a source of the platform."""

    n: int

    @property
    def name(self) -> str:
        return "prototypes"

    @property
    def columns(self) -> tuple[str, ...]:
        return ("density",)

    @property
    def has_folds(self) -> bool:
        return False

    def digest(self) -> str:
        return f"prototypes-{self.n}"

    def __len__(self) -> int:
        return self.n

    def items(self) -> Iterator[RawItem]:
        for number, structure in enumerate(small_prototypes(self.n)):
            yield RawItem(
                id=f"p{number:03d}",
                make=partial(nth_prototype, number=number),
                payload=None,
                labels={"density": float(structure.density)},
            )


def build_prototypes(root: Path, n: int = 40) -> PackedStore:
    """Return the store of `n` prototypes with the cells of preset `test`."""
    family = get_family("sitenet")
    return open_or_build(
        PrototypeSource(n),
        recipe(family, family.settings(CONFIG)),
        BuildOptions(root, max_failed_fraction=0.2),
    )


def prototype_data(store: PackedStore) -> TrainingData:
    """Return a seeded random split of a store of prototypes."""
    data = DataConfig(source="prototypes", target=TARGET)
    return TrainingData(store, make_split(store, data, 12), TARGET)
