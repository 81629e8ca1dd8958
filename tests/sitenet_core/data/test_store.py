"""What a packed store promises to those who open it."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.toy_store import (
    Toy,
    ToySettings,
    ToySource,
    build_toy,
    featurise_toy,
    make_toy,
    toys,
)

from sitenet_core.data import CRYSTAL, PackedStore
from sitenet_core.data.header import HEADER_FILE, StoreHeader
from sitenet_core.errors import DataError, StoreError


@pytest.fixture(scope="module")
def source() -> ToySource:
    listed = [*toys(70), Toy(fail="two atoms on one place")]
    return ToySource(listed, folds=[i % 5 for i in range(70)] + [None])


@pytest.fixture(scope="module")
def built(source: ToySource, tmp_path_factory: pytest.TempPathFactory) -> PackedStore:
    return build_toy(tmp_path_factory.mktemp("stores"), source)


@pytest.fixture
def copy(built: PackedStore, tmp_path: Path) -> Path:
    """Return a store that a test may damage."""
    folder = tmp_path / built.path.name
    shutil.copytree(built.path, folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


def test_every_record_equals_what_was_featurised(
    built: PackedStore, source: ToySource
) -> None:
    assert len(built) == 70
    for index, toy in enumerate(source.toys[:70]):
        expected = featurise_toy(make_toy(toy), ToySettings())
        record = built.record(index)
        assert set(record) == set(expected)
        for name in ("lattice", "n_unique_sites"):
            np.testing.assert_array_equal(record[name][0], expected[name])
            assert len(record[name]) == 1
        for name in ("atomic_numbers", "frac_coords"):
            np.testing.assert_array_equal(record[name], expected[name])
        distance = expected["distance"].astype(np.float32)
        np.testing.assert_array_equal(record["distance"], distance)
        assert record["distance"].dtype == np.float32
        assert record["atomic_numbers"].dtype == np.uint8
        assert len(record["nothing"]) == 0


def test_ids_labels_folds_and_formulas_are_the_sources(built: PackedStore) -> None:
    assert built.ids[:2] == ["toy-0000", "toy-0001"]
    np.testing.assert_array_equal(built.labels("gap"), np.arange(70) / 10)
    odd = built.labels("odd / name")
    assert np.isnan(odd[1::2]).all()
    assert (odd[::2] == 1).all()
    assert built.folds is not None
    np.testing.assert_array_equal(built.folds, np.arange(70) % 5)
    assert built.formulas[:3] == ["Na1", "Na1 Cl1", "K1 Na1 Cl1"]
    assert built.reduced_formulas[1] == "NaCl"


def test_sizes_and_columns_are_per_crystal(built: PackedStore) -> None:
    sites = np.arange(70) % 3 + 1
    np.testing.assert_array_equal(built.sizes("site"), sites)
    np.testing.assert_array_equal(built.sizes("pair"), sites**2)
    np.testing.assert_array_equal(built.sizes(CRYSTAL), np.ones(70))
    np.testing.assert_array_equal(built.column("n_unique_sites"), sites)
    assert built.column("lattice").shape == (70, 3, 3)
    np.testing.assert_array_equal(built.column("gap"), built.labels("gap"))


def test_arrays_and_files_cannot_be_written(built: PackedStore) -> None:
    for name, view in built.record(5).items():
        if view.size:
            with pytest.raises(ValueError, match="read-only"):
                view[...] = 0
            assert not view.flags.writeable, name
    with pytest.raises(ValueError, match="read-only"):
        built.sizes("site")[0] = 9
    assert all(f.stat().st_mode & 0o222 == 0 for f in built.path.iterdir())


def test_the_report_counts_and_names_what_was_skipped(built: PackedStore) -> None:
    report = built.report
    assert (report.n_read, report.n_stored) == (71, 70)
    assert [row.id for row in report.skipped] == ["toy-0070"]
    assert "two atoms on one place" in report.skipped[0].reason


def test_unknown_names_are_refused_with_those_that_are_there(
    built: PackedStore,
) -> None:
    with pytest.raises(DataError, match=r"no column 'bandgap'; its columns: gap, odd"):
        built.labels("bandgap")
    with pytest.raises(DataError, match="did you mean 'n_unique_sites'"):
        built.column("n_unique_site")
    with pytest.raises(DataError, match="did you mean 'site'"):
        built.sizes("sites")
    with pytest.raises(DataError, match="no crystal 'toy-0070'"):
        built.index_of(["toy-0001", "toy-0070"])
    with pytest.raises(IndexError, match="70"):
        built.record(70)
    with pytest.raises(IndexError, match="-1"):
        built.record(-1)


def test_index_of_finds_each_id(built: PackedStore) -> None:
    np.testing.assert_array_equal(built.index_of(["toy-0007", "toy-0002"]), [7, 2])


def test_a_pickled_store_opens_the_same_files(built: PackedStore) -> None:
    text = pickle.dumps(built)
    again = pickle.loads(text)  # noqa: S301 - made in the line above
    assert len(text) < 500
    assert again.digest == built.digest
    np.testing.assert_array_equal(
        again.record(8)["distance"], built.record(8)["distance"]
    )


def test_a_source_without_folds_has_none(tmp_path: Path) -> None:
    assert build_toy(tmp_path, ToySource(toys(3))).folds is None


def test_a_store_of_another_schema_version_is_refused(copy: Path) -> None:
    edit_header(copy, schema_version=99)
    with pytest.raises(StoreError, match=r"version 99.*reads version 1.*data build"):
        PackedStore.open(copy)


def test_a_changed_header_is_refused(copy: Path) -> None:
    edit_header(copy, n_crystals=69)
    with pytest.raises(StoreError, match="does not fit its own digest"):
        PackedStore.open(copy)


def test_a_header_with_an_unknown_key_is_refused(copy: Path) -> None:
    edit_header(copy, surprise=1)
    with pytest.raises(StoreError, match="1 wrong or missing"):
        PackedStore.open(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is not JSON"), ("[]", "is not a JSON object"), ("{}", "not that of a pack")],
)
def test_a_header_that_is_none_is_refused(
    copy: Path, content: str, message: str
) -> None:
    (copy / HEADER_FILE).write_text(content)
    with pytest.raises(StoreError, match=message):
        PackedStore.open(copy)


def test_a_folder_without_a_header_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no finished packed store"):
        PackedStore.open(tmp_path)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
@pytest.mark.parametrize(
    "name", ["array-distance.bin", "sizes-site.bin", "ids.json", "label-0.bin"]
)
def test_a_truncated_or_missing_file_is_found_at_opening(
    copy: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(copy / name)
    with pytest.raises(StoreError, match=rf"{name}.*incomplete.*data build"):
        PackedStore.open(copy)


@pytest.mark.parametrize("name", ["array-distance.bin", "folds.bin", "report.json"])
def test_verify_finds_a_changed_byte(copy: Path, name: str) -> None:
    store = PackedStore.open(copy)
    store.verify()
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(StoreError, match=rf"changed after.*: {name};"):
        PackedStore.open(copy).verify()


def test_the_sources_name_does_not_count_for_the_digest(built: PackedStore) -> None:
    renamed = built.header.model_copy(update={"source": "elsewhere"})
    assert renamed.content_digest() == built.digest
    other = StoreHeader.model_validate(
        built.header.model_dump() | {"feature_version": 2}
    )
    assert other.content_digest() != built.digest


def edit_header(folder: Path, **changes: object) -> None:
    header = json.loads((folder / HEADER_FILE).read_text())
    (folder / HEADER_FILE).write_text(json.dumps(header | changes))
