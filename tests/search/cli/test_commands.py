"""Every command does what the README of `search/` says, and prints only that."""

import argparse
import csv
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Answer, Sitenet, write_salts, write_training
from support.structure_files import cif
from support.toy_study import study_document, write_crystals, write_study

from search.cli.main import build_parser
from search.space.loading import shipped_spaces
from sitenet_core.training import FitOptions, FitResult, fit

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"\| `sitenet ([a-z ]+?)(?: [A-Z].*?)?` \|.*\| (.*) \|")
KEY = re.compile(r"`(\w+)`(?: \(([^)]*)\))?")
HEAVY = {"torch", "ray", "mlflow", "pymatgen", "pytorch_lightning", "hyperopt"}
START = "from search.cli.main import entry_point; entry_point()"


def documented() -> dict[str, str]:
    """Return the last column of the README's table, by command."""
    text = (ROOT / "search/README.md").read_text(encoding="utf-8")
    return {
        found[1]: found[2] for line in text.split("\n") if (found := ROW.match(line))
    }


def keys(command: str) -> dict[str, set[str]]:
    """Return the documented keys of `command`, each with those inside it."""
    cell = documented()[command]
    if cell.startswith("as `"):
        return keys(cell.removeprefix("as `").removesuffix("`"))
    outer = re.fullmatch(r"`(\w+)`: (.*)", cell)
    if outer:
        return {outer[1]: set(re.findall(r"`(\w+)`", outer[2]))}
    return {key: set(re.findall(r"`(\w+)`", inner)) for key, inner in KEY.findall(cell)}


def check_keys(document: Mapping[str, Any], command: str) -> None:
    """Assert that `document` has the documented keys, also in its parts."""
    expected = keys(command)
    assert set(document) == set(expected)
    for key, inner in expected.items():
        parts = document[key] if isinstance(document[key], list) else [document[key]]
        for part in parts if inner else ():
            assert set(part) == inner, key


def subcommands(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from subcommands(child, f"{prefix} {name}")
            return
    yield prefix.strip()


def shell(folder: Path, *arguments: object) -> Answer:
    """Run `sitenet` in a process of its own."""
    command = [sys.executable, "-c", START, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, check=False, text=True
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def test_the_table_of_the_readme_lists_every_command() -> None:
    assert sorted(subcommands(build_parser())) == sorted(documented())


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


def test_a_store_is_built_listed_and_shown(sitenet: Sitenet, tmp_path: Path) -> None:
    folder = write_salts(tmp_path / "set", n=4)
    (folder / "LiF.cif").write_text(cif(["Xx 0 0 0"]))
    command = ("data", "build", "set", "--max-failed-fraction", 0.5)
    built = sitenet(*command, "--json")
    assert (built.code, built.err) == (0, "")
    check_keys(built.json, "data build")
    assert built.json["labels"] == ["edge"]
    assert (built.json["folds"], built.json["stored"]) == (True, 3)
    assert [row["id"] for row in built.json["skipped"]] == ["LiF"]
    name = Path(built.json["folder"]).name
    for more in ((), ("--verify",)):
        shown = sitenet("data", "show", name[:12], *more, "--json")
        assert (shown.code, shown.json) == (0, built.json)
    check_keys(shown.json, "data show")
    (tmp_path / "stores/damaged").mkdir()
    listed = sitenet("data", "list", "--json")
    check_keys(listed.json, "data list")
    damaged, whole = sorted(
        listed.json["stores"], key=lambda row: row["problem"] is None
    )
    assert (whole["name"], whole["crystals"], whole["problem"]) == (name, 3, None)
    assert "header.json cannot be read" in damaged["problem"]
    assert re.search(
        rf"^{name}  set +3 +\d+  -$", sitenet("data", "list").out, re.MULTILINE
    )
    again = sitenet(*command)
    assert "skipped LiF: LiF.cif: _atom_site_label 'Xx' names an unknown" in again.out
    assert again.err == ""


def test_a_changed_byte_of_a_store_is_found(sitenet: Sitenet, tmp_path: Path) -> None:
    write_salts(tmp_path / "set", n=2)
    folder = Path(sitenet("data", "build", "set", "--json").json["folder"])
    file = max(folder.glob("*.bin"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    answer = sitenet("data", "show", folder, "--verify")
    assert answer.code == 3
    assert file.name in answer.err


def test_without_a_store_the_list_says_how_to_make_one(sitenet: Sitenet) -> None:
    answer = sitenet("data", "list")
    assert (answer.code, answer.err) == (0, "")
    assert "`sitenet data build SOURCE` makes one" in answer.out
    assert sitenet("data", "list", "--json").json == {"stores": []}


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_space_is_checked(sitenet: Sitenet, name: str) -> None:
    answer = sitenet("space", "check", name, "--json")
    assert (answer.code, answer.err) == (0, "")
    check_keys(answer.json, "space check")
    assert (answer.json["name"], answer.json["family"]) == (name, "sitenet")
    by_path = sitenet("space", "check", ROOT / f"spaces/{name}.yaml", "--json")
    assert by_path.json["digest"] == answer.json["digest"]
    text = sitenet("space", "check", name)
    assert text.code == 0
    for parameter in answer.json["parameters"]:
        assert f"  {parameter}  " in text.out


def test_doctor_names_what_is_there_and_what_failed(
    sitenet: Sitenet, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = sitenet("doctor", "--json")
    check_keys(answer.json, "doctor")
    checks = {check["name"]: check for check in answer.json["checks"]}
    assert {"python", "torch", "device", "disk", "mlflow", "ray"} <= checks.keys()
    failed = [c for c in checks.values() if c["status"] == "failed"]
    assert answer.code == (5 if failed else 0)
    monkeypatch.setenv("SITENET_DATA", "nowhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    answer = sitenet("doctor")
    assert answer.code == 5
    assert re.search(r"failed +data folder +SITENET_DATA=nowhere: is not a", answer.out)
    assert re.search(r"failed +mlflow +MLFLOW_TRACKING_URI='./mlruns'", answer.out)


def test_a_training_leaves_a_model_that_is_evaluated_and_predicts(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    write_salts(tmp_path / "set")
    write_training(tmp_path / "job.yaml", Path("set"))
    trained = sitenet("train", "job.yaml", "--json")
    assert trained.code == 0, trained.err
    check_keys(trained.json, "train")
    assert (trained.json["epochs"], trained.json["unit"]) == (2, "Å")
    bundle = trained.json["bundle"]
    tested = sitenet("evaluate", bundle, "set", "--json")
    assert tested.code == 0, tested.err
    check_keys(tested.json, "evaluate")
    rows = tested.json["predictions"]
    errors = [abs(row["target"] - row["prediction"]) for row in rows]
    assert tested.json["mae"] == pytest.approx(sum(errors) / 8)
    assert re.search(r"^n +8$", sitenet("evaluate", bundle, "set").out, re.MULTILINE)
    silent = sitenet("predict", bundle, "set", "--output", "predictions.csv")
    assert (silent.code, silent.out) == (0, "")
    with (tmp_path / "predictions.csv").open() as file:
        predicted = {row["id"]: row["prediction"] for row in csv.DictReader(file)}
    for row in rows:
        value = float(predicted[f"set/{row['id']}.cif"])
        assert value == pytest.approx(row["prediction"], rel=1e-4)


def test_an_interrupted_training_goes_on_with_resume_only(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    def one_epoch(config: Any, data: Any, options: FitOptions) -> FitResult:
        fit(config, data, replace(options, until_epoch=1))
        raise KeyboardInterrupt

    write_salts(tmp_path / "set")
    write_training(tmp_path / "job.yaml", Path("set"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sitenet_core.training.job.fit", one_epoch)
        stopped = sitenet("train", "job.yaml")
    assert stopped.code == 130
    assert stopped.err.endswith("sitenet: interrupted\n")
    refused = sitenet("train", "job.yaml")
    assert refused.code == 2
    assert "trainings/job: holds a training already; add --resume" in refused.err
    write_training(tmp_path / "job.yaml", Path("set"), train_on="train+validation")
    changed = sitenet("train", "job.yaml", "--resume")
    assert changed.code == 2
    assert "begun here has other settings" in changed.err
    write_training(tmp_path / "job.yaml", Path("set"))
    resumed = sitenet("train", "job.yaml", "--resume", "--json")
    assert (resumed.code, resumed.json["epochs"]) == (0, 2)
    curve = (tmp_path / "trainings/job/curve.csv").read_text().split()
    assert [line.partition(",")[0] for line in curve] == ["epoch", "1", "2"]
    whole = sitenet("train", "job.yaml", "--dir", "others", "--json").json
    assert resumed.json["best_val_mae"] == whole["best_val_mae"]


def test_the_status_of_a_missing_study_is_an_error(sitenet: Sitenet) -> None:
    answer = sitenet("search", "status", "gone", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert (
        "there is no study called 'gone' in studies; there is none here" in answer.err
    )


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


def test_the_user_interface_of_a_server_is_at_its_own_address(
    sitenet: Sitenet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    answer = sitenet("ui")
    assert answer.code == 2
    assert "open http://tracking:5000 in a browser" in answer.err


def test_a_user_interface_that_cannot_start_is_an_infrastructure_error(
    sitenet: Sitenet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
        assert uri.startswith("sqlite:///")
        return [sys.executable, "-c", f"raise SystemExit({port})"], dict(os.environ)

    monkeypatch.setattr("search.tracking.ui_command", command)
    assert sitenet("ui", "--port", 3).code == 5


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
