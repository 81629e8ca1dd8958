"""The Parquet table, pymatgen JSON, single files, and names that are no source."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.structure_files import POSCAR, cif, rock_salt

from sitenet_core.config import DataConfig, TargetConfig
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.structures import SkippedStructure, StructureRecord, open_source
from sitenet_core.structures.sources.matbench import official_folds, official_id

ROW: dict[str, Any] = {
    "id": "a",
    "cell": [4.0, 4.0, 4.0, 90.0, 90.0, 90.0],
    "numbers": [55, 17],
    "frac_e8": [0, 0, 0, 50000000, 50000000, 50000000],
    "gap": 1.5,
}


def data(source: Path | str, column: str = "gap") -> DataConfig:
    target = TargetConfig(column=column, name="band_gap", unit="eV")
    return DataConfig(source=str(source), target=target)


def table(path: Path, *changes: dict[str, Any]) -> Path:
    rows = [{**ROW, "id": chr(97 + i), **change} for i, change in enumerate(changes)]
    types = {
        "cell": pa.list_(pa.float64()),
        "numbers": pa.list_(pa.uint8()),
        "frac_e8": pa.list_(pa.int32()),
    }
    columns = {
        name: pa.array([row.get(name) for row in rows], types.get(name))
        for name in dict.fromkeys(key for row in rows for key in row)
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_a_table_gives_its_rows_labels_and_folds(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.parquet",
        {"fold": 3, "n_sites": 2, "note": "x", "count": 7},
        {"gap": None, "fold": None},
        {"fold": -1},
    )
    source = open_source(data(path), data_root=None)
    found = [row for row in source if isinstance(row, StructureRecord)]
    assert source.columns == ("gap", "count")
    assert source.has_folds
    assert len(source) == len(found) == 3
    assert [r.fold for r in found] == [3, None, None]
    assert found[0].labels == {"gap": 1.5, "count": 7.0}
    assert np.isnan(found[1].labels["gap"])
    assert found[0].structure.formula == "Cs1 Cl1"
    np.testing.assert_allclose(found[0].structure.frac_coords[1], 0.5)


def test_a_table_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(data(table(tmp_path / "t.parquet", {})), data_root=None)
    first = source.digest()
    monkeypatch.setattr(Path, "open", None)
    assert source.digest() == first


def test_the_folds_of_the_target_go_before_those_of_the_table(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", {"fold": 3, "e_form": -1.0, "e_form_fold": 1})
    gap = open_source(data(path), data_root=None)
    energy = open_source(data(path, "e_form"), data_root=None)
    assert [next(iter(s.items())).fold for s in (gap, energy)] == [3, 1]
    assert gap.columns == energy.columns == ("gap", "e_form")
    assert gap.digest() != energy.digest()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cell": [4.0, 4.0, np.nan, 90.0, 90.0, 90.0]}, "cell .* does not exist"),
        ({"cell": [4.0, 4.0, 0.0, 90.0, 90.0, 90.0]}, "cell .* does not exist"),
        ({"cell": [4.0, 4.0, 4.0, 20.0, 20.0, 90.0]}, "cell .* does not exist"),
        ({"cell": [4.0, 4.0]}, "cell .* does not exist"),
        ({"cell": None}, "a cell, numbers or frac_e8 is missing"),
        ({"numbers": [55]}, "has 1 atomic numbers and 6 coordinates"),
        ({"numbers": [55, 0]}, "atomic number 0; 1"),
        ({"numbers": [55, 110]}, "holds element 110"),
        ({"numbers": [], "frac_e8": []}, "no sites"),
        ({"frac_e8": [0] * 6}, "overlap"),
        ({"frac_e8": [0, 0, 0, None, 0, 0]}, "not a finite number"),
    ],
)
def test_a_row_that_cannot_be_used_has_a_reason(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = table(tmp_path / "t.parquet", {}, change)
    good, bad = open_source(data(path), data_root=None)
    assert isinstance(good, StructureRecord)
    assert isinstance(bad, SkippedStructure)
    assert bad.id == "b"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(bad.reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([{}, {"id": "a"}], "row 2 repeats the id 'a', which occurs 2 times"),
        ([{}, {"id": None}], "row 2 has no id"),
    ],
)
def test_ids_must_be_there_once(
    tmp_path: Path, changes: list[dict[str, Any]], reason: str
) -> None:
    source = open_source(data(table(tmp_path / "t.parquet", *changes)), data_root=None)
    with pytest.raises(DataError, match=reason):
        list(source)


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR0")
    with pytest.raises(DataError, match="cannot be read as a Parquet table"):
        open_source(data(path), data_root=None)
    pq.write_table(pa.table({"id": ["a"], "gap": [1.0]}), path)
    with pytest.raises(DataError, match="has no column cell, numbers, frac_e8"):
        open_source(data(path), data_root=None)


def test_a_target_that_the_source_lacks_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", {})
    with pytest.raises(DataError, match=r"no number column 'gapp'.*mean 'gap'"):
        open_source(data(path, "gapp"), data_root=None)


def test_the_order_is_that_of_the_rows_across_batches(shared_data: Path) -> None:
    source = open_source(data("perovskites.parquet", "heat_all"), shared_data)
    ids = [item.id for item in source.items()]
    assert len(ids) == len(source) == 6072
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("name", ["mp_gap_20k.parquet", "mp_gap_full.parquet"])
def test_the_rule_of_matbench_gives_the_folds_of_the_table(
    shared_data: Path, name: str
) -> None:
    columns = pq.read_table(shared_data / name, columns=["id", "fold"])
    ids = columns.column("id").to_pylist()
    rows = np.array([int(key.rsplit("-", 1)[1]) - 1 for key in ids])
    folds = official_folds(106113)
    np.testing.assert_array_equal(folds[rows], columns.column("fold").to_numpy())
    assert ids[0] == official_id("matbench_mp_gap", int(rows[0]), 106113)


def test_the_rule_of_matbench_gives_the_folds_of_the_phonons(
    shared_data: Path,
) -> None:
    columns = pq.read_table(shared_data / "phonons.parquet", columns=["id", "fold"])
    ids = columns.column("id").to_pylist()
    rows = np.array([int(key.rsplit("-", 1)[1]) - 1 for key in ids])
    folds = columns.column("fold").to_numpy()
    np.testing.assert_array_equal(official_folds(1265)[rows], folds)
    assert ids[0] == official_id("matbench_phonons", int(rows[0]), 1265)


def test_json_records_give_ids_labels_and_folds(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    one = {"id": "x", "structure": rock_salt().as_dict(), "gap": 1, "fold": 0}
    two = {"structure": rock_salt("K", "Br").as_dict(), "gap": None, "note": "n"}
    path.write_text(json.dumps([one, two]))
    source = open_source(data(path), data_root=None)
    first, second = source
    assert isinstance(first, StructureRecord)
    assert isinstance(second, StructureRecord)
    assert (first.id, first.labels, first.fold) == ("x", {"gap": 1.0}, 0)
    assert (second.id, second.fold) == ("set-00002", None)
    assert np.isnan(second.labels["gap"])
    assert source.columns == ("gap",)
    assert source.has_folds


def test_a_mapping_names_its_structures_by_key(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    entry = {"structure": rock_salt().as_dict(), "gap": 2.0}
    path.write_text(json.dumps({"p": entry, "q": {**entry, "structure": {"a": 1}}}))
    good, bad = open_source(data(path), data_root=None)
    assert isinstance(good, StructureRecord)
    assert good.id == "p"
    assert isinstance(bad, SkippedStructure)
    assert "is not a pymatgen Structure" in bad.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be parsed as JSON"),
        ("[]", "holds no structures"),
        ("3", "holds no structures"),
        ('[{"structure": {}, "gap": "high"}]', "target 'gap' of 'set-00001' is 'high'"),
        ('[{"structure": {}, "gap": NaN}]', "target 'gap' of 'set-00001' is nan"),
        ('[{"structure": {}, "gap": 1, "fold": "a"}]', "fold of 'set-00001' is 'a'"),
        ('[{"id": 1, "structure": {}, "gap": 1}, {"id": "1"}]', "repeats the id '1'"),
        ('[{"structure": {}}]', "has no number column 'gap'"),
    ],
)
def test_json_that_is_no_data_set_is_refused(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "set.json"
    path.write_text(content)
    with pytest.raises(DataError, match=reason):
        open_source(data(path), data_root=None)


def test_one_file_is_a_source_without_labels(tmp_path: Path) -> None:
    files = {
        "a.cif": cif(),
        "POSCAR": POSCAR,
        "b.json": rock_salt().to(fmt="json"),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text)
        source = open_source(data(path), data_root=None)
        (row,) = source
        assert isinstance(row, StructureRecord)
        assert row.id == path.stem
        assert (len(source), source.columns, source.has_folds) == (1, (), False)


def test_the_digest_of_one_file_follows_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    digests = []
    for length in ("5.64", "5.65"):
        path.write_text(cif().replace("5.64", length))
        digests.append(open_source(data(path), data_root=None).digest())
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("embeded", ConfigError, "did you mean 'embedded'.*Parquet table"),
        ("mp:band_gap", ConfigError, "neither a known name nor a path"),
        ("sets/none.parquet", DataError, "no such file or folder.*SITENET_DATA"),
    ],
)
def test_a_source_that_is_none_is_refused(
    tmp_path: Path, name: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        open_source(data(name), data_root=tmp_path)


def test_a_file_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,gap\n")
    with pytest.raises(
        ConfigError, match=r"no known kind .*CSV goes under data\.labels"
    ):
        open_source(data(path), data_root=None)


def test_only_one_batch_of_a_table_is_decoded_at_a_time(shared_data: Path) -> None:
    source = open_source(data("mp_gap_20k.parquet", "gap_pbe"), shared_data)
    before = pa.total_allocated_bytes()
    items = source.items()
    for _ in itertools.islice(items, 5000):
        assert pa.total_allocated_bytes() - before < 40e6
    items.close()  # type: ignore[attr-defined]
