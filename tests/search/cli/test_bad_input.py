"""Bad input: every message says what is wrong, every exit code whose turn it is."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

ROOT = Path(__file__).resolve().parents[3]
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
    assert "allowed: gap (target.column)" in answer.err


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


SPACE = """\
version: 1
family: sitenet
preset: test
parameters:
  model.embedding_dim: {type: integer, low: 1, high: 8}
"""
BAD_SPACES = {
    "unknown key": (
        SPACE + "paramters: {}\n",
        "6:1: paramters: unknown key; did you mean 'parameters'?",
    ),
    "reversed bounds": (
        SPACE.replace("low: 1", "low: 9"),
        "5:48: parameters.model.embedding_dim.high: bounds are reversed: low 9 is",
    ),
    "log range from zero": (
        SPACE + "  optimizer.learning_rate: "
        "{type: float, low: 0, high: 1, log: true}\n",
        "6:42: parameters.optimizer.learning_rate.low: a logarithmic range cannot",
    ),
    "duplicate key": (
        SPACE + "  model.embedding_dim: {type: integer, low: 1, high: 4}\n",
        '6:3: found duplicate key "model.embedding_dim"',
    ),
    "conditional on nothing": (
        SPACE + "  model.attention_heads: {type: integer, low: 1, high: 4, "
        "when: {model.embeding_dim: {at_least: 2}}}\n",
        (
            "6:66: parameters.model.attention_heads.when.model.embeding_dim: the "
            "condition names a parameter that does not exist; did you mean "
            "'model.embedding_dim'?"
        ),
    ),
}


@pytest.mark.parametrize("case", BAD_SPACES)
def test_a_wrong_space_is_refused_with_line_and_column(
    sitenet: Sitenet, tmp_path: Path, case: str
) -> None:
    text, message = BAD_SPACES[case]
    (tmp_path / "space.yaml").write_text(text)
    answer = sitenet("space", "check", "space.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"space.yaml:{message}")
    assert answer.err.count("\n") == 1
    study = write_study(tmp_path / "study", study_document(tmp_path))
    (tmp_path / "study/space.yaml").write_text(text)
    run = sitenet("search", "run", study)
    assert run.code == 2
    assert f"study/space.yaml:{message}" in run.err
    assert not (tmp_path / "studies").exists()


def test_a_study_that_names_a_missing_space_is_refused_with_line_and_column(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    document = study_document(tmp_path, space="sitenet/table1_2032")
    write_study(tmp_path, document)
    answer = sitenet("search", "run", "study.yaml")
    assert answer.code == 2
    assert answer.err.startswith(
        "study.yaml:3:1: space: there is no space called 'sitenet/table1_2032'; did "
        "you mean 'sitenet/table1_20"
    )
    write_study(tmp_path, {**document, "space": "gone.yaml"})
    answer = sitenet("search", "run", "study.yaml")
    assert answer.code == 2
    assert "study.yaml:3:1: space: gone.yaml: there is no such space file" in answer.err


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


HOLDER = """
import sys, time
from pathlib import Path
from search.study.lock import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_driver(lock: Path) -> Iterator[int]:
    lock.parent.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_a_study_in_use_by_another_driver_is_refused_with_its_name(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    write_study(tmp_path, study_document(tmp_path))
    with another_driver(tmp_path / "studies/toy/lock") as pid:
        for more in ((), ("--resume",)):
            answer = sitenet("search", "run", "study.yaml", *more)
            assert answer.code == 2
            assert f"the study is in use by process {pid} on " in answer.err
            assert "stop it, or choose another name with --name" in answer.err


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("predict", "the following arguments are required: MODEL, PATH"),
        ("data list --jsn", "unrecognized arguments: --jsn"),
        ("serch run x", "invalid choice: 'serch'"),
        ("data build embedded --workers 0", "'0' is not a whole number from 1"),
        ("ui --port 65536", "a port is at most 65535, not 65536"),
        ("data build embedded --cell max_atoms", "expected KEY=VALUE, as max_atoms"),
        ("data build embedded --cell max_atoms=[", "the value is not YAML; give a nu"),
        ("data build embedded --cell max_atom=9", "did you mean 'max_atoms'?"),
        ("data build embedded --cell max_atoms=0", "max_atoms: input should be greate"),
        ("data build embedded --max-failed-fraction 2", "less than or equal to 1"),
        ("data build embeded", "'embeded': is neither a known name nor a path"),
        ("predict nowhere x.cif", "nowhere/bundle.json: cannot be read (No such file"),
        ("evaluate nowhere embedded", "nowhere/bundle.json: cannot be read (No such"),
        ("predict models:/champion x.cif", "write models:/NAME@champion or models:/NA"),
        ("predict nowhere x.cif --output gone/p.csv", "--output gone/p.csv: is a fold"),
        ("space check sitenet/quickstrt", "did you mean 'sitenet/quickstart'?"),
        ("train gone.yaml", "gone.yaml: cannot be read (No such file or directory)"),
    ],
)
def test_a_wrong_command_line_is_refused(
    sitenet: Sitenet, arguments: str, message: str
) -> None:
    answer = sitenet(*arguments.split())
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


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


def test_an_unknown_study_is_refused_with_those_there_are(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    for name in ("oxides", "halides"):
        (tmp_path / "studies" / name).mkdir(parents=True)
        (tmp_path / "studies" / name / "journal.jsonl").touch()
    for command in (("search", "status"), ("promote",), ("search", "run", "--resume")):
        answer = sitenet(*command, "nitrides")
        assert answer.code == 2
        assert "there is no study called 'nitrides' in studies; " in answer.err
    assert "did you mean 'oxides'?" in sitenet("promote", "oxide").err
    assert "allowed: halides, oxides" in sitenet("promote", "xyz").err
