"""Bad input: every message says what is wrong, every exit code whose turn it is."""

import json
import re
import shutil
from pathlib import Path

import pytest
from support.command_line import (
    Sitenet,
    add_perovskites,
    write_salts,
    write_table,
    write_training,
)
from support.structure_files import ROCK_SALT_ROWS, cif
from support.toy_study import study_document, write_study

TYPED = ("type_symbol", "occupancy")
OCCUPIED = ("occupancy",)

BAD_FILES = {
    "not a CIF": ("this is no crystal\n", "cannot be parsed as a CIF"),
    "broken loop": (
        cif([*ROCK_SALT_ROWS, "K1 0"]),
        "a row with too few or too many values",
    ),
    "empty": ("", "is empty; give a CIF, a POSCAR/CONTCAR (.vasp) or a pymatgen"),
    "partial occupancy": (
        cif(["Na1 0.6 0 0 0", "Cl1 1 0.5 0.5 0.5"], columns=OCCUPIED),
        (
            "partially occupied or shared; only fully occupied sites of one element "
            "are supported (an occupancy of 0.999 counts as full): order the structure "
            "first, with pymatgen's OrderDisorderedStructureTransformation"
        ),
    ),
    "almost full": (
        cif(["Na1 0.998 0 0 0", "Cl1 1 0.5 0.5 0.5"], columns=OCCUPIED),
        "partially occupied",
    ),
    "several data blocks": (
        cif(name="first") + cif(name="second"),
        (
            "holds 2 data blocks with a structure (first, second); one structure per "
            "file is allowed: split it"
        ),
    ),
    "unknown element": (
        cif(["Xx1 0 0 0", "Cl1 0.5 0.5 0.5"]),
        "'Xx1' names an unknown element; allowed is a chemical symbol",
    ),
    "no sites": (cif([]), "so there are no sites; list one row of values per atom"),
    "overlapping sites": (
        cif([*ROCK_SALT_ROWS, "K1 0.001 0 0"]),
        (
            "sites 1 (K) and 2 (Na) overlap: they are 0.006 Å apart, at least 0.1 Å is "
            "needed; remove the duplicate"
        ),
    ),
}
GOOD_FILES = {
    "0.999 counts as full": cif(
        ["Na1 0.999 0 0 0", "Cl1 1 0.5 0.5 0.5"], columns=OCCUPIED
    ),
    "deuterium": cif(["Li1 0 0 0", "D1 0.5 0.5 0.5"]),
    "oxidation states": cif(
        ["Na1 Na1+ 1 0 0 0", "Cl1 Cl1- 1 0.5 0.5 0.5"], columns=TYPED
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_predicted_is_a_row_with_the_reason(
    sitenet: Sitenet, model: Path, tmp_path: Path, case: str
) -> None:
    text, reason = BAD_FILES[case]
    (tmp_path / "it.cif").write_text(text)
    answer = sitenet("predict", model, "it.cif")
    assert answer.code == 3
    (row,) = answer.rows
    assert (row["id"], row["prediction"], row["status"]) == ("it.cif", "", "failed")
    assert row["reason"].startswith("it.cif: ")
    assert reason in row["reason"]


@pytest.mark.parametrize("case", GOOD_FILES)
def test_an_unusual_file_that_is_supported_is_predicted(
    sitenet: Sitenet, model: Path, tmp_path: Path, case: str
) -> None:
    (tmp_path / "it.cif").write_text(GOOD_FILES[case])
    answer = sitenet("predict", model, "it.cif")
    assert answer.code == 0, answer
    (row,) = answer.rows
    assert (row["status"], row["unit"], row["reason"]) == ("ok", "Å", "")
    assert abs(float(row["prediction"])) > 0


def test_full_enough_and_deuterium_change_no_prediction(
    sitenet: Sitenet, model: Path, tmp_path: Path
) -> None:
    texts = [cif(), GOOD_FILES["0.999 counts as full"]]
    texts += [cif(["Li1 0 0 0", "H1 0.5 0.5 0.5"]), GOOD_FILES["deuterium"]]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.cif").write_text(text)
    rows = sitenet("predict", model, *(f"{n}.cif" for n in range(4))).rows
    salt, nearly_salt, hydride, deuteride = (float(row["prediction"]) for row in rows)
    assert nearly_salt == pytest.approx(salt, rel=1e-4)
    assert deuteride == pytest.approx(hydride, rel=1e-4)
    assert hydride != pytest.approx(salt, rel=1e-3)


def test_bad_files_of_a_data_set_are_reported_and_counted_against_a_limit(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    ids = [f"bad{number}" for number in range(len(BAD_FILES))]
    rows = [f"{key},1" for key in ("good", *ids)]
    folder = write_table(tmp_path / "set", ["id,gap", *rows], files=["good"])
    for key, (text, _) in zip(ids, BAD_FILES.values(), strict=True):
        (folder / f"{key}.cif").write_text(text)
    refused = sitenet("data", "build", "set")
    assert refused.code == 3
    assert "9 of 10 crystals read cannot be used (90.0%; allowed: 5.0%)" in refused.err
    assert not sitenet("data", "list", "--json").json["stores"]
    built = sitenet("data", "build", "set", "--max-failed-fraction", 0.9, "--json")
    assert built.code == 0
    assert (built.json["read"], built.json["stored"]) == (10, 1)
    skipped = {row["id"]: row["reason"] for row in built.json["skipped"]}
    assert list(skipped) == ids
    for key, (_, reason) in zip(ids, BAD_FILES.values(), strict=True):
        assert reason in skipped[key]


def test_oxidation_states_reach_the_store(sitenet: Sitenet, tmp_path: Path) -> None:
    from sitenet_core.data import PackedStore

    (tmp_path / "salt.cif").write_text(GOOD_FILES["oxidation states"])
    answer = sitenet("data", "build", "salt.cif", "--json")
    assert answer.code == 0
    record = PackedStore.open(Path(answer.json["folder"])).record(0)
    assert sorted(record["oxidation_states"].tolist()) == [-1, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,1", "c,2"], "set/id_prop.csv:3: names 'c', which is not in set; add"),
        (["a,1", "b,2", "a,3"], "set/id_prop.csv:4: repeats the id 'a' of line 2;"),
        (["a,1", "b,high"], "set/id_prop.csv:3: the target 'gap' is 'high'; a finite"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(
    sitenet: Sitenet, tmp_path: Path, rows: list[str], message: str
) -> None:
    write_table(tmp_path / "set", ["id,gap", *rows], files=["a", "b"])
    answer = sitenet("data", "build", "set", "--column", "gap")
    assert answer.code == 3
    assert answer.err.startswith(f"sitenet: {message}")
    training = write_training(
        tmp_path / "job.yaml", Path("set"), data={"target": {"column": "gap"}}
    )
    again = sitenet("train", training)
    assert (again.code, again.err) == (3, answer.err)


def test_a_target_that_no_column_holds_is_refused_with_those_there_are(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    write_table(tmp_path / "set", ["id,gap", "a,1"], files=["a"])
    answer = sitenet("train", write_training(tmp_path / "job.yaml", Path("set")))
    assert answer.code == 3
    assert "set: has no number column 'edge'" in answer.err
    assert "allowed: gap (target.column of the file, --col" in answer.err


def test_what_is_over_the_training_limit_is_listed_and_still_tested_on(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    add_perovskites(write_salts(tmp_path / "set"))
    data = {"unit_cell_limit": 4, "split": {"kind": "fold", "test_fold": 0}}
    training = write_training(tmp_path / "job.yaml", Path("set"), data=data)
    trained = sitenet("train", training, "--json")
    assert trained.code == 0, trained.err
    split = json.loads((tmp_path / "trainings/job/split.json").read_text())
    reason = "5 sites in the primitive cell, over the training limit of 4"
    assert split["excluded"] == {reason: ["SrTiO3"]}
    assert sorted(split["test"]) == ["BaTiO3", "LiF", "NaF"]
    tested = sitenet(
        "evaluate", trained.json["bundle"], "set", "--fold", 0, "--json"
    ).json
    assert sorted(row["id"] for row in tested["predictions"]) == sorted(split["test"])


def test_a_data_set_of_one_crystal_can_be_looked_at_but_not_learned_from(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    write_salts(tmp_path / "set", n=1)
    built = sitenet("data", "build", "set", "--json")
    assert (built.code, built.json["stored"]) == (0, 1)
    document = study_document(Path("set"), data={"target": {"column": "edge"}})
    study = write_study(tmp_path, document)
    training = write_training(tmp_path / "job.yaml", Path("set"))
    for command in (("train", training), ("search", "run", study)):
        answer = sitenet(*command)
        assert answer.code == 3
        assert answer.err == (
            "sitenet: source set: the random split finds 1 crystal with a number in "
            "column 'edge'; at least 3 are needed: one each to train, to validate and "
            "to test on\n"
        )


def test_a_store_of_another_schema_version_is_refused_with_what_to_do(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    write_salts(tmp_path / "set", n=2)
    folder = Path(sitenet("data", "build", "set", "--json").json["folder"])
    header = json.loads((folder / "header.json").read_text())
    newer = {**header, "schema_version": header["schema_version"] + 1}
    (folder / "header.json").write_text(json.dumps(newer))
    message = (
        f"{folder}: the store is of schema version 2, this program reads version 1; "
        "delete the folder and build it again with `sitenet data build SOURCE`"
    )
    for command in (("show", folder), ("show", folder.name[:8]), ("build", "set")):
        answer = sitenet("data", *command)
        assert (answer.code, answer.err) == (3, f"sitenet: {message}\n")
    listed = sitenet("data", "list", "--json")
    assert listed.code == 0
    assert [row["problem"] for row in listed.json["stores"]] == [message]
    shutil.rmtree(folder)
    assert sitenet("data", "build", "set").code == 0


def test_of_a_half_broken_folder_the_good_half_is_predicted(
    sitenet: Sitenet, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    for number, text in enumerate(GOOD_FILES.values()):
        (folder / "deeper" / f"good{number}.cif").write_text(text)
    for number, case in enumerate(("not a CIF", "empty", "partial occupancy")):
        (folder / f"bad{number}.cif").write_text(BAD_FILES[case][0])
    answer = sitenet("predict", model, "mixed")
    assert answer.code == 0
    status = {row["id"]: row["status"] for row in answer.rows}
    good = {f"mixed/deeper/good{n}.cif": "ok" for n in range(3)}
    assert status == good | {f"mixed/bad{n}.cif": "failed" for n in range(3)}
    for row in answer.rows:
        assert bool(row["reason"]) == (row["prediction"] == "")
    shutil.rmtree(folder / "deeper")
    none = sitenet("predict", model, "mixed", "missing.cif")
    assert none.code == 3
    assert [row["status"] for row in none.rows] == ["failed"] * 4
    assert "missing.cif: cannot be read (No such file" in none.rows[3]["reason"]


@pytest.mark.parametrize("name", ["nothing", "/nothing/like/this", "*"])
def test_a_store_that_is_not_there_is_refused(
    sitenet: Sitenet, tmp_path: Path, name: str
) -> None:
    write_salts(tmp_path / "set", n=2)
    assert sitenet("data", "build", "set").code == 0
    answer = sitenet("data", "show", name)
    assert answer.code == 3
    assert f"no store begins with {name!r}; `sitenet data list` names" in answer.err


def test_a_bundle_of_another_version_is_refused(
    sitenet: Sitenet, model: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    header = json.loads((other / "bundle.json").read_text())
    (other / "bundle.json").write_text(json.dumps({**header, "version": 99}))
    for command in (("predict", "other", "x.cif"), ("evaluate", "other", "embedded")):
        answer = sitenet(*command)
        assert (answer.code, answer.out) == (3, "")
        assert re.search(r"other.*version 99.*version 1", answer.err)
        assert "use the version that wrote it" in answer.err


def test_the_working_directory_needs_a_table_as_any_folder(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    answer = sitenet("data", "build", ".")
    assert answer.code == 3
    assert ".: has no CSV file; one with the columns id or file" in answer.err
    assert f"beside it as {tmp_path.name}.csv" in answer.err
    write_table(tmp_path, ["id,gap", "a,1"], files=["a"])
    assert sitenet("data", "build", ".", "--json").json["stored"] == 1
