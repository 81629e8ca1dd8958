"""Wrong spaces, studies and command lines: message, place and exit code."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command_line import Sitenet, write_training
from support.structure_files import cif
from support.toy_study import study_document, write_study

ROOT = Path(__file__).resolve().parents[3]
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
            assert "wait for that one, or stop it (" in answer.err


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
        ("predict nowhere x.cif --dir x.cif", "x.cif is a file; name a folder"),
        ("train job.yaml --dir x.cif", "x.cif is a file; name a folder"),
        ("train job.yaml", "job.yaml:15:1: family: there is no model family 'sitnet'"),
        ("train list.yaml", "list.yaml:1:1: the file holds a list; a mapping of keys"),
        ("train two.yaml", "two.yaml:2:1: expected a single document in the stream bu"),
        ("space check sitenet/quickstrt", "did you mean 'sitenet/quickstart'?"),
        ("train gone.yaml", "gone.yaml: cannot be read (No such file or directory)"),
    ],
)
def test_a_wrong_command_line_or_file_is_refused(
    sitenet: Sitenet, tmp_path: Path, arguments: str, message: str
) -> None:
    (tmp_path / "x.cif").write_text(cif())
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "two.yaml").write_text("version: 1\n---\nversion: 1\n")
    write_training(tmp_path / "job.yaml", tmp_path, family="sitnet")
    answer = sitenet(*arguments.split())
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_an_empty_name_is_refused(sitenet: Sitenet) -> None:
    space = sitenet("space", "check", "")
    assert (space.code, space.out) == (2, "")
    assert "there is no space called ''; shipped spaces: " in space.err
    source = sitenet("data", "build", "")
    assert (source.code, source.out) == (2, "")
    assert "data source '': is neither a known name nor a path in the" in source.err


def test_an_unknown_study_is_refused_with_those_there_are(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    for name in ("oxides", "halides"):
        (tmp_path / "studies" / name).mkdir(parents=True)
        journal = tmp_path / "studies" / name / "journal.jsonl"
        journal.write_text("the first event\n")
    for command in (("search", "status"), ("promote",), ("search", "run", "--resume")):
        answer = sitenet(*command, "nitrides")
        assert answer.code == 2
        assert "there is no study called 'nitrides' in studies; " in answer.err
    assert "did you mean 'oxides'?" in sitenet("promote", "oxide").err
    assert "allowed: halides, oxides" in sitenet("promote", "xyz").err
