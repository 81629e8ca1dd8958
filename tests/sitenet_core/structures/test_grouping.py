"""Keys that keep near-copies on one side of a split."""

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from support.structure_files import disguised, perovskite, rock_salt

from sitenet_core.config import DataConfig, TargetConfig
from sitenet_core.structures import (
    StructureRecord,
    composition_key,
    open_source,
    prototype_key,
)
from sitenet_core.structures import grouping as grouping_module


def test_the_key_of_rock_salt_names_formula_group_and_orbits() -> None:
    assert prototype_key(rock_salt()) == "AB|225|1,1"


def test_the_key_of_a_perovskite_counts_atoms_in_the_primitive_cell() -> None:
    for x_site in ("F", "I"):  # lighter and heavier than the others
        structure = perovskite("Na", "Mg", x_site) * [2, 1, 1]
        assert prototype_key(structure) == "ABC3|221|1,1,3"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (rock_salt(), rock_salt("K", "Br", 6.6)),
        (rock_salt(), rock_salt("Cl", "Na")),
        (rock_salt("Na+", "Cl-"), rock_salt()),
        (perovskite("Sr", "Ti", "O"), perovskite("Ba", "Zr", "O", 4.2)),
        (perovskite("Sr", "Ti", "O"), perovskite("Ti", "Sr", "O")),
        (perovskite("Cs", "Pb", "Br", 5.9), perovskite("Sr", "Ti", "O")),
    ],
)
def test_substitution_keeps_the_prototype(one: Structure, other: Structure) -> None:
    assert prototype_key(one) == prototype_key(other)


def test_caesium_chloride_and_zinc_blende_are_other_prototypes() -> None:
    caesium = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    blende = Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.4), ["Zn", "S"], [[0] * 3, [0.25] * 3]
    )
    keys = {prototype_key(s) for s in (rock_salt(), caesium, blende)}
    assert len(keys) == 3


def test_a_relaxed_distortion_below_the_tolerance_keeps_the_prototype() -> None:
    structure = perovskite("Sr", "Ti", "O")
    structure.perturb(0.03)
    assert prototype_key(structure) == prototype_key(perovskite("Ba", "Ti", "O"))


@pytest.mark.parametrize("seed", range(5))
def test_cell_basis_origin_and_order_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for structure in (rock_salt(), perovskite("Sr", "Ti", "O")):
        other = disguised(structure, rng)
        assert prototype_key(other) == prototype_key(structure)
        assert composition_key(other) == composition_key(structure)


def test_where_symmetry_is_not_found_the_formula_is_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        grouping_module.spglib, "get_symmetry_dataset", lambda *_, **__: None
    )
    assert prototype_key(perovskite("Sr", "Ti", "O")) == "ABC3|unknown"


def test_composition_ignores_oxidation_states_and_cell_size() -> None:
    assert composition_key(rock_salt("Na+", "Cl-") * [1, 1, 2]) == "NaCl"


def records(path: Path, column: str, every: int) -> list[StructureRecord]:
    target = TargetConfig(column=column, name=column, unit="eV")
    source = open_source(DataConfig(source=str(path), target=target), data_root=None)
    found = [row for row in source if isinstance(row, StructureRecord)]
    return found[::every]


@pytest.mark.parametrize(
    ("table", "column", "every"),
    [
        ("perovskites.parquet", "heat_all", 40),
        ("tiny_wide.parquet", "gap_pbe", 1),
        ("tiny_small.parquet", "gap_pbe", 1),
    ],
)
def test_real_crystals_keep_their_key_in_disguise(
    shared_data: Path, table: str, column: str, every: int
) -> None:
    rng = np.random.default_rng(7)
    found = [
        r for r in records(shared_data / table, column, every) if len(r.structure) < 90
    ]
    changed = [
        r.id
        for r in found
        if prototype_key(disguised(r.structure, rng)) != prototype_key(r.structure)
    ]
    # A distortion just at spglib's tolerance may be judged either way.
    assert len(changed) <= len(found) // 100
    assert len(found) > 30


def test_real_perovskites_fall_into_few_prototypes(shared_data: Path) -> None:
    found = records(shared_data / "perovskites.parquet", "heat_all", 20)
    assert len({prototype_key(r.structure) for r in found}) < 25
