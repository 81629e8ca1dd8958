"""The data set that needs no download."""

import re
import subprocess
import sys
import time
from collections import defaultdict

import pytest
from support.structure_files import rock_salt

from sitenet_core.config import DataConfig, TargetConfig
from sitenet_core.structures import (
    Source,
    StructureRecord,
    open_source,
    prototype_key,
)
from sitenet_core.structures.sources.embedded import substitute


@pytest.fixture(scope="module")
def source() -> Source:
    target = TargetConfig(column="density", name="density", unit="g/cm³")
    return open_source(DataConfig(source="embedded", target=target), data_root=None)


@pytest.fixture(scope="module")
def records(source: Source) -> list[StructureRecord]:
    return [row for row in source if isinstance(row, StructureRecord)]


def test_it_holds_about_a_thousand_usable_structures(
    source: Source, records: list[StructureRecord]
) -> None:
    assert 800 <= len(source) <= 1200
    assert len(records) == len(source)
    assert not source.has_folds


def test_ids_are_unique_and_readable(records: list[StructureRecord]) -> None:
    ids = [record.id for record in records]
    assert len(set(ids)) == len(ids)
    assert any(key.startswith("AB_cF8_225_a_b-") for key in ids)
    assert all(key.isascii() and " " not in key and "/" not in key for key in ids)


def test_the_label_is_the_density_in_g_per_cm3(records: list[StructureRecord]) -> None:
    for record in records[::50]:
        assert record.labels["density"] == pytest.approx(record.structure.density)
    densities = sorted(record.labels["density"] for record in records)
    assert densities[0] > 0.05
    assert 4 < densities[len(densities) // 2] < 8


def test_every_prototype_of_pymatgen_is_in_it(records: list[StructureRecord]) -> None:
    originals = [record for record in records if "AB_cF8_225_a_b" in record.id]
    assert "NaCl" in {r.structure.composition.reduced_formula for r in originals}
    assert len({record.id.rsplit("-", 1)[0] for record in records}) >= 280


def test_substitutions_share_their_prototype(records: list[StructureRecord]) -> None:
    families = defaultdict(list)
    for record in records:
        # A formula that a prototype has twice is numbered: LABEL-FORMULA-2.
        label = re.sub(r"-\d+$", "", record.id).rsplit("-", 1)[0]
        families[label].append(record.structure)
    keys = {
        label: {prototype_key(structure) for structure in family}
        for label, family in families.items()
    }
    assert max(map(len, families.values())) > 1
    assert not {label: found for label, found in keys.items() if len(found) > 1}


def test_substitution_scales_the_cell_by_the_atomic_radii() -> None:
    heavier = substitute(rock_salt("Na", "Cl", 5.64), 1)
    assert heavier is not None
    assert heavier.composition.reduced_formula == "KBr"
    # Radii of Na, Cl, K, Br: 1.80, 1.00, 2.20, 1.15 Å.
    assert heavier.lattice.a == pytest.approx(5.64 * (2.20 + 1.15) / (1.80 + 1.00))


def test_it_is_the_same_in_another_process_and_quick(source: Source) -> None:
    code = (
        "from sitenet_core.structures.sources.embedded import EmbeddedSource\n"
        "print(EmbeddedSource().digest())"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == source.digest()
    assert time.monotonic() - started < 60
