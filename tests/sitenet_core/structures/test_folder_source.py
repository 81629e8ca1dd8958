"""Folders and zips of structure files, and the CSV that goes with them."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.structure_files import POSCAR, cif

from sitenet_core.config import DataConfig, TargetConfig
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.structures import (
    SkippedStructure,
    Source,
    StructureRecord,
    decode,
    open_source,
)
from sitenet_core.structures.sources.labels import read_labels


def data(
    source: Path | str, column: str = "gap", labels: str | None = None
) -> DataConfig:
    target = TargetConfig(column=column, name="band_gap", unit="eV")
    return DataConfig(source=str(source), target=target, labels=labels)


def folder(path: Path, csv: str | None = "id,gap\na,1.5\nb,2.5\n") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "a.cif").write_text(cif())
    (path / "b.vasp").write_text(POSCAR)
    if csv is not None:
        (path / "labels.csv").write_text(csv)
    return path


def zipped(path: Path, inner: str = "") -> Path:
    target = path.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(path.iterdir()):
            archive.write(file, inner + file.name)
    return target


def rows(source: Source) -> list[StructureRecord]:
    found = list(source)
    assert all(isinstance(row, StructureRecord) for row in found)
    return [row for row in found if isinstance(row, StructureRecord)]


def test_a_folder_is_read_in_the_order_of_its_csv(tmp_path: Path) -> None:
    path = folder(tmp_path / "set", "id,gap\nb,2.5\na,1.5\n")
    source = open_source(data(path), data_root=None)
    found = rows(source)
    assert [(r.id, r.labels["gap"]) for r in found] == [("b", 2.5), ("a", 1.5)]
    assert len(source) == 2
    assert source.columns == ("gap",)
    assert not source.has_folds


def test_a_folder_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(data(folder(tmp_path / "set")), data_root=None)
    first = source.digest()
    monkeypatch.setattr(Path, "read_bytes", None)
    assert source.digest() == first


def test_a_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    path = folder(tmp_path / "set")
    plain = open_source(data(path), data_root=None)
    packed = open_source(data(zipped(path, "inner/")), data_root=None)
    assert rows(plain) == rows(packed)
    assert plain.digest() == packed.digest()


@pytest.mark.parametrize("ending", ["", ".cif"])
def test_the_id_prop_csv_of_cgcnn_works_as_it_is(tmp_path: Path, ending: str) -> None:
    path = folder(tmp_path / "set", csv=None)
    (path / "id_prop.csv").write_text(f"a{ending},1.5\n")
    (path / "atom_init.json").write_text("{}")
    (found,) = rows(open_source(data(path, "formation_energy"), data_root=None))
    assert (found.id, found.labels) == ("a", {"formation_energy": 1.5})


def test_id_and_file_columns_may_differ_and_folds_are_read(tmp_path: Path) -> None:
    csv = "file,id,note,gap,fold\na.cif,one,x,1,0\nb.vasp,two,y,,\n"
    source = open_source(data(folder(tmp_path / "set", csv)), data_root=None)
    one, two = rows(source)
    assert source.columns == ("gap",)
    assert (one.id, one.fold, two.id, two.fold) == ("one", 0, "two", None)
    assert source.has_folds
    assert np.isnan(two.labels["gap"])


def test_the_csv_may_lie_beside_or_be_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "set", csv=None)
    (tmp_path / "set.csv").write_text("id,gap\na,1\n")
    (tmp_path / "other.csv").write_text("id,gap\nb,2\n")
    (beside,) = rows(open_source(data(path), data_root=None))
    config = data("set", labels="other.csv")
    (named,) = rows(open_source(config, data_root=tmp_path))
    assert (beside.id, named.id) == ("a", "b")


def test_a_relative_path_is_looked_for_under_the_data_folder_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "here" / "set", "id,gap\na,1\n")
    folder(tmp_path / "root" / "set", "id,gap\nb,2\n")
    monkeypatch.chdir(tmp_path / "here")
    (under_root,) = rows(open_source(data("set"), data_root=tmp_path / "root"))
    (in_place,) = rows(open_source(data("set"), data_root=tmp_path))
    assert (under_root.id, in_place.id) == ("b", "a")


def test_a_broken_file_is_a_row_with_a_reason(tmp_path: Path) -> None:
    path = folder(tmp_path / "set")
    (path / "b.vasp").write_text("not a structure\n")
    good, bad = open_source(data(path), data_root=None)
    assert isinstance(good, StructureRecord)
    assert isinstance(bad, SkippedStructure)
    assert bad.id == "b"
    assert "b.vasp: cannot be parsed as a POSCAR" in bad.reason


def test_items_survive_the_way_to_a_worker_process(tmp_path: Path) -> None:
    source = open_source(data(folder(tmp_path / "set")), data_root=None)
    sent = [pickle.loads(pickle.dumps(item)) for item in source.items()]  # noqa: S301
    assert [decode(item) for item in sent] == list(source)


@pytest.mark.parametrize("change", ["label", "file", "id"])
def test_the_digest_follows_content(tmp_path: Path, change: str) -> None:
    before = open_source(data(folder(tmp_path / "set")), data_root=None).digest()
    path = folder(tmp_path / "copy")
    assert open_source(data(path), data_root=None).digest() == before
    if change == "file":
        (path / "a.cif").write_text(cif().replace("5.64", "5.65"))
    elif change == "label":
        (path / "labels.csv").write_text("id,gap\na,1.5\nb,2.6\n")
    else:
        (path / "labels.csv").write_text("id,file,gap\nc,a,1.5\nb,b,2.5\n")
    assert open_source(data(path), data_root=None).digest() != before


@pytest.mark.parametrize(
    ("csv", "reason"),
    [
        ("id,gap\na,1\nc,2\n", r"labels\.csv:3: names 'c', which is not in"),
        ("id,gap\na,1\nb,2\na,3\n", r"labels\.csv:4: repeats the id 'a' of line 2"),
        ("id,gap\na,1\nb,high\n", r"labels\.csv:3: the target 'gap' is 'high'"),
        ("id,gap\na,1\nb,nan\n", r"labels\.csv:3: the target 'gap' is 'nan'"),
        ("id,gap\na,1\nb,inf\n", r"labels\.csv:3: the target 'gap' is 'inf'"),
        ("id,gap\na,1\nb\n", r"labels\.csv:3: has 1 values; 2 are needed \(id, gap\)"),
        ("id,gap\na,1\n,2\n", r"labels\.csv:3: the id is empty"),
        ("id,energy\na,1\n", r"has no number column 'gap'.*allowed: energy"),
        ("id,gap,gap\na,1,2\n", r"labels\.csv:1: repeats the column 'gap'"),
        ("id,gap,fold\na,1,x\n", r"labels\.csv:2: the fold is 'x'"),
        ("name,gap\na,1\n", r"labels\.csv:1: the first line is 'name,gap'; a header"),
        ("id,gap\n", r"labels\.csv: has a header and no rows"),
        ("", r"labels\.csv: is empty"),
    ],
)
def test_a_wrong_csv_is_refused_with_file_and_line(
    tmp_path: Path, csv: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        open_source(data(folder(tmp_path / "set", csv)), data_root=None)
    assert caught.value.exit_code == 3


def test_a_csv_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_labels("id,gap\nMüll,1\n".encode("latin-1"), "l.csv", "gap")


def test_a_name_that_fits_two_files_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "set")
    (path / "a.vasp").write_text(POSCAR)
    with pytest.raises(
        DataError, match=r"'a' stands for several files.*a\.cif, a\.vasp"
    ):
        open_source(data(path), data_root=None)


def test_a_folder_without_or_with_two_csv_files_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "set", csv=None)
    with pytest.raises(DataError, match=r"has no CSV file.*beside it as set\.csv"):
        open_source(data(path), data_root=None)
    for name in ("x.csv", "y.csv"):
        (path / name).write_text("id,gap\na,1\n")
    with pytest.raises(DataError, match=r"several CSV files \(x\.csv, y\.csv\)"):
        open_source(data(path), data_root=None)


def test_files_without_a_row_are_counted_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder(tmp_path / "set", "id,gap\na,1\n")
    open_source(data(path), data_root=None)
    assert "1 structure files have no row" in caplog.text


def test_a_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="cannot be read as a zip archive"):
        open_source(data(path), data_root=None)


def test_missing_labels_and_needless_labels_are_refused(tmp_path: Path) -> None:
    folder(tmp_path / "set")
    with pytest.raises(DataError, match=r"labels 'no\.csv': there is no such file"):
        open_source(data("set", labels="no.csv"), data_root=tmp_path)
    with pytest.raises(ConfigError, match="embedded brings its own values"):
        open_source(data("embedded", "density", "no.csv"), data_root=None)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_finite_number_survives_the_csv(values: list[float]) -> None:
    text = "id,gap\n" + "".join(f"{i},{value!r}\n" for i, value in enumerate(values))
    table = read_labels(text.encode(), "l.csv", "gap")
    assert [row.labels["gap"] for row in table.rows] == values


def test_the_zip_of_cifs_holds_the_structures_of_the_table(shared_data: Path) -> None:
    packed = rows(open_source(data("tiny_wide_cif.zip", "target"), shared_data))
    table = rows(open_source(data("tiny_wide.parquet", "gap_pbe"), shared_data))
    assert [r.id for r in packed] == [r.id for r in table]
    for one, other in zip(packed, table, strict=True):
        assert one.labels["target"] == pytest.approx(other.labels["gap_pbe"], abs=1e-9)
        assert one.structure.formula == other.structure.formula
        lattices = [r.structure.lattice.parameters for r in (one, other)]
        np.testing.assert_allclose(*lattices, atol=1e-6)


def test_the_zip_of_poscars_holds_the_structures_of_the_table(
    shared_data: Path,
) -> None:
    packed = rows(open_source(data("jarvis50_poscar.zip"), shared_data))
    by_id = {r.id.removeprefix("POSCAR-"): r for r in packed}
    table = rows(
        open_source(data("jarvis50.parquet", "optb88vdw_bandgap"), shared_data)
    )
    assert len(packed) == len(table) == 50
    for other in table:
        one = by_id[other.id]
        value = other.labels["optb88vdw_bandgap"]
        assert one.labels["gap"] == pytest.approx(value, abs=1e-6)
        assert sorted(one.structure.atomic_numbers) == sorted(
            other.structure.atomic_numbers
        )
        assert one.structure.volume == pytest.approx(other.structure.volume, rel=1e-5)
