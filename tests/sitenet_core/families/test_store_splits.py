"""The one split of a data set, whatever its store holds."""

from collections import defaultdict
from pathlib import Path

import pytest
from support.toy_store import toy_recipe

from search.study import load_study
from sitenet_core.config import DataConfig
from sitenet_core.data import BuildOptions, PackedStore, Split, open_or_build
from sitenet_core.families import get_family, recipe
from sitenet_core.families.stores import StoreBuilding, split_of_store
from sitenet_core.structures.sources import open_source

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart" / "study.yaml"


def prototype_of(id_: str) -> str:
    """Return AFLOW's label and the mineral, which all substituted copies share."""
    words = id_.split("-")
    if words[-1].isdigit():
        words.pop()
    return "-".join(words[:-1])


def crossing(split: Split) -> dict[str, set[str]]:
    """Return the parts of every prototype that is in more than one."""
    parts: dict[str, set[str]] = defaultdict(set)
    for name in ("train", "validation", "test"):
        for id_ in getattr(split, name):
            parts[prototype_of(id_)].add(name)
    return {label: found for label, found in parts.items() if len(found) > 1}


def test_no_prototype_of_the_quick_start_is_on_two_sides(tmp_path: Path) -> None:
    study = load_study(QUICKSTART)
    data = study.config.data
    assert data.split.kind == "prototype"
    # Of the store, the split reads ids and sizes alone: a toy's arrays are enough.
    store = open_or_build(open_source(data, None), toy_recipe(), BuildOptions(tmp_path))
    split = split_of_store(store, data, study.base, StoreBuilding(workers=1))
    assert len(split.train) > 300
    assert crossing(split) == {}


@pytest.fixture
def distorted(tmp_path: Path) -> Path:
    """Return a folder of chains of four that the tolerance of a cell can average."""
    from pymatgen.core import Lattice, Structure

    rows = ["id,gap"]
    for number, shift in enumerate([0.0, 0.0, 0.3, 0.3, 0.3, 0.0, 0.3, 0.0]):
        edge = 3 + number / 10
        coords = [[0, 0, 0], [0.5 + shift / (2 * edge), 0, 0]]
        lattice = Lattice.orthorhombic(2 * edge, 4, 5)
        structure = Structure(lattice, ["Po", "Po"], coords)
        if number % 2:
            structure.append("Na", [0.2, 0.5, 0.5])
        structure.to(str(tmp_path / f"c{number}.cif"), fmt="cif")
        rows.append(f"c{number},{number}")
    (tmp_path / "id_prop.csv").write_text("\n".join(rows))
    return tmp_path


def test_the_split_by_prototype_does_not_depend_on_the_cell(
    distorted: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = DataConfig.model_validate(
        {
            "source": str(distorted),
            "unit_cell_limit": 20,
            "target": {"column": "gap", "name": "gap", "unit": "eV"},
            "split": {"kind": "prototype"},
        }
    )
    stores = [cell_store(data, tmp_path_factory.mktemp("s"), t) for t in (0.5, 0.01)]
    sizes = [store.column("n_unique_sites").tolist() for store in stores]
    assert sizes[0] != sizes[1]
    base = get_family("sitenet").Config.from_preset("small", {})
    building = StoreBuilding(workers=1)
    first, second = (split_of_store(s, data, base, building) for s in stores)
    assert first.digest == second.digest


def cell_store(data: DataConfig, root: Path, tolerance: float) -> PackedStore:
    """Return the store of `data` whose cells are averaged within `tolerance`."""
    family = get_family("sitenet")
    settings = family.default_settings.model_copy(
        update={"max_atoms": 20, "primitive_tolerance": tolerance}
    )
    source = open_source(data, None)
    return open_or_build(source, recipe(family, settings), BuildOptions(root))
