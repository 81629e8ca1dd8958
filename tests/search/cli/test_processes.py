"""The command in a process of its own: what it prints, imports and returns."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import Answer, Sitenet, write_salts
from support.readme_keys import check_keys
from support.toy_study import study_document, write_crystals, write_study

HEAVY = {"torch", "ray", "mlflow", "pymatgen", "pytorch_lightning", "hyperopt"}
START = "from search.cli.main import entry_point; entry_point()"


def shell(folder: Path, *arguments: object) -> Answer:
    """Run `sitenet` in a process of its own."""
    command = [sys.executable, "-c", START, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, check=False, text=True
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def test_help_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-c", START, "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    imported = {line.split("|")[-1].strip() for line in done.stderr.split("\n")}
    assert "search.cli.main" in imported, "the list was read"
    assert not {name.partition(".")[0] for name in imported} & HEAVY
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 0.5
    assert done.stdout.startswith("usage: sitenet [-h] COMMAND")


@pytest.mark.parametrize(
    "case",
    [
        (KeyboardInterrupt(), 130, "sitenet: interrupted\n"),
        (
            ZeroDivisionError("by 0"),
            5,
            "sitenet: an unexpected ZeroDivisionError: by 0",
        ),
        (OSError(28, "No space left", "/full"), 5, "refused: [Errno 28] No space left"),
    ],
)
def test_what_nobody_expected_has_an_exit_code_and_a_traceback(
    sitenet: Sitenet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[BaseException, int, str],
) -> None:
    error, code, message = case

    def fail() -> None:
        raise error

    monkeypatch.setattr("sitenet_core.families.stores.store_rows", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = sitenet("data", "list", "--json")
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    files = list(tmp_path.glob("sitenet-traceback-*.txt"))
    assert len(files) == (code == 5)
    for file in files:
        assert str(file) in answer.err
        assert "in fail\n    raise error\n" in file.read_text()


def test_json_is_all_that_a_process_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITENET_STORES", str(tmp_path / "stores"))
    write_salts(tmp_path / "set", n=3)
    answer = shell(tmp_path, "data", "build", "set", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["stored"] == 3


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, "space", "check", "sitenet/table1_2023"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.slow
def test_a_study_runs_from_a_space_to_a_prediction_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITENET_STORES", str(tmp_path / "stores"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("SITENET_DATA", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    crystals = write_crystals(tmp_path / "crystals")
    promotion = {"epochs": 2, "references": ["constant"], "register_as": "salts"}
    write_study(tmp_path, study_document(crystals, promotion=promotion))
    run = shell(tmp_path, "search", "run", "study.yaml", "--json")
    assert run.code == 0, run.err
    check_keys(run.json, "search run")
    assert run.json["counts"] == {"completed": 2}
    assert run.json["best"] in run.json["trials"]
    status = shell(tmp_path, "search", "status", "toy", "--json")
    assert (status.code, status.json) == (0, run.json)
    promoted = shell(tmp_path, "promote", "toy", "--json")
    assert promoted.code == 0, promoted.err
    check_keys(promoted.json, "promote")
    assert promoted.json["trial"] == run.json["best"]["trial"]
    assert promoted.json["registered"] == "models:/salts@champion"
    by_name = shell(tmp_path, "predict", "models:/salts@champion", "crystals/NaCl.cif")
    assert by_name.code == 0, by_name.err
    by_folder = shell(tmp_path, "predict", promoted.json["bundle"], "crystals/NaCl.cif")
    assert by_name.rows == by_folder.rows
    assert by_name.rows[0]["status"] == "ok"
    result = json.loads((tmp_path / "studies/toy/promotion/result.json").read_text())
    assert result == promoted.json
