"""Every command does what the README of `search/` says, and prints only that."""

import argparse
import csv
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Sitenet, write_salts, write_training
from support.readme_keys import check_keys, documented
from support.structure_files import cif
from support.toy_study import study_document, write_study

from search.cli.main import build_parser
from search.journal import Journal, SessionEnded, SessionStarted, StudyCreated
from search.space.loading import shipped_spaces
from search.study import StudyFolder, load_study, study_summary
from search.study.resolve import save_study, study_digest
from sitenet_core.data import PackedStore
from sitenet_core.features.elements import imputed
from sitenet_core.training import FitOptions, FitResult, fit
from sitenet_core.training.probe import Measurement, Probe

ROOT = Path(__file__).resolve().parents[3]


def subcommands(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from subcommands(child, f"{prefix} {name}")
            return
    yield prefix.strip()


def test_the_table_of_the_readme_lists_every_command() -> None:
    assert sorted(subcommands(build_parser())) == sorted(documented())


@pytest.mark.parametrize("name", ["README.md", "Makefile"])
def test_commands_that_are_written_down_can_be_given(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = re.findall(r"^[ \t]+(?:\$\(BIN\)/)?sitenet (.+)", text, re.MULTILINE)
    assert lines
    for line in lines:
        options = build_parser().parse_args(shlex.split(line, comments=True))
        assert callable(options.run)


def test_elements_with_imputed_features_are_named(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    folder = write_salts(tmp_path / "set", n=4)
    name = next(f for f in sorted(folder.iterdir()) if f.suffix == ".cif").name
    (folder / name).write_text(cif(["Ar1 0 0 0", "Na1 0.5 0.5 0.5"]))
    built = sitenet("data", "build", "set", "--json")
    assert built.json["imputed"] == {
        column: ["Ar"] for column, numbers in imputed().items() if 18 in numbers
    }
    assert "Electronegativity" in built.json["imputed"]
    shown = sitenet("data", "show", built.json["folder"])
    assert re.search(r"^imputed +.*Electronegativity: Ar", shown.out, re.MULTILINE)


def test_a_store_is_built_listed_and_shown(sitenet: Sitenet, tmp_path: Path) -> None:
    folder = write_salts(tmp_path / "set", n=4)
    (folder / "LiF.cif").write_text(cif(["Xx 0 0 0"]))
    command = ("data", "build", "set", "--max-failed-fraction", 0.5)
    built = sitenet(*command, "--json")
    assert (built.code, built.err) == (0, "")
    check_keys(built.json, "data build")
    assert built.json["imputed"] == {}
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
        rf"^{name}  set +3 +\d+ +-$", sitenet("data", "list").out, re.MULTILINE
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
    for more in ((), ("--verify",)):
        answer = sitenet("data", "show", folder, *more)
        assert answer.code == 3
        assert file.name in answer.err


def test_a_store_is_read_again_where_that_is_asked_for(
    sitenet: Sitenet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_salts(tmp_path / "set", n=2)
    folder = sitenet("data", "build", "set", "--json").json["folder"]
    read: list[Path] = []
    monkeypatch.setattr(PackedStore, "verify", lambda store: read.append(store.path))
    assert sitenet("data", "show", folder).code == 0
    assert read == []
    assert sitenet("data", "show", folder, "--verify").code == 0
    assert read == [Path(folder)]


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


def test_a_space_is_forecast_on_a_store(
    sitenet: Sitenet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Probe] = []

    def run(probe: Probe) -> Measurement:
        measured.append(probe)
        return Measurement(seconds=2.0, peak_bytes=2**28, process_bytes=2**29)

    monkeypatch.setattr("sitenet_core.training.calibrating.measure_apart", run)
    write_salts(tmp_path / "set", n=3)
    built = sitenet("data", "build", "set", "--cell", "max_atoms=24", "--json").json
    arguments = ("space", "check", "sitenet/quickstart", "--store", built["folder"])
    answer = sitenet(*arguments, "--json")
    assert answer.code == 0
    assert "training 1 of 7" in answer.err
    check_keys(answer.json, "space check")
    preset, lowest, median, highest = answer.json["forecast"]
    assert preset["case"].startswith("preset ")
    for key in ("peak_bytes", "seconds_per_epoch"):
        assert 0 < lowest[key] <= median[key] <= highest[key]
    (probe, *_) = measured
    for row in answer.json["forecast"]:
        assert (row["device"], row["threads"]) == (probe.device, probe.threads)
    text = sitenet(*arguments)
    assert (text.code, text.err, len(measured)) == (0, "", 7)
    for line in text.out.splitlines()[-4:]:
        assert re.search(r" s per epoch on (the GPU with )?1 CPU thread$", line)


def test_a_forecast_needs_a_store_of_the_cells_of_the_space(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    arguments = ("space", "check", "sitenet/quickstart", "--store")
    absent = sitenet(*arguments, "0123")
    assert absent.code == 3
    assert "`sitenet data build SOURCE` makes one" in absent.err
    write_salts(tmp_path / "set", n=3)
    built = sitenet("data", "build", "set", "--cell", "max_atoms=7", "--json").json
    other = sitenet(*arguments, built["folder"])
    assert other.code == 2
    assert "max_atoms is 7 in the store" in other.err
    assert "sitenet data build" in other.err


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


def write_journal(folder: Path, ended: str) -> StudyFolder:
    """Write a study without trials, `folder`/studies/toy, whose session ended so."""
    study = load_study(write_study(folder, study_document(folder)))
    place = StudyFolder(folder / "studies/toy")
    save_study(place, study)
    journal = Journal.open(place.journal)
    digests = {"study_digest": study_digest(study.config)}
    digests |= {"space_digest": study.space.digest}
    journal.append(StudyCreated(name="toy", **digests))
    journal.append(SessionStarted(session=1, host="here", pid=1))
    journal.append(SessionEnded(reason=ended))
    return place


def test_an_interrupted_study_has_its_own_exit_code_and_says_how_to_go_on(
    sitenet: Sitenet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_journal(tmp_path, ended="interrupted")
    # The signal itself is sent in the tests of the engine.
    monkeypatch.setattr("search.study.run_study", lambda *_: study_summary(place))
    run = sitenet("search", "run", "study.yaml")
    assert run.code == 130
    assert run.out.endswith("interrupted in good order; go on with --resume\n")
    status = sitenet("search", "status", "toy", "--json")
    assert (status.code, status.json["ended"]) == (0, "interrupted")


def test_a_study_without_a_success_has_a_status_and_nothing_to_promote(
    sitenet: Sitenet, tmp_path: Path
) -> None:
    write_journal(tmp_path, ended="trials")
    status = sitenet("search", "status", "toy", "--json")
    assert (status.code, status.err) == (0, "")
    check_keys(status.json, "search status")
    assert (status.json["counts"], status.json["best"]) == ({}, None)
    assert "study toy: 0 of 2 trials" in sitenet("search", "status", "toy").out
    promoted = sitenet("promote", "toy", "--json")
    assert (promoted.code, promoted.out) == (4, "")
    assert "no trial" in promoted.err


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


SERVER = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def end(*_):
    (folder / "asked").touch()
    if not (folder / "stubborn").exists():
        raise SystemExit
signal.signal(signal.SIGTERM, end)
(folder / "pid").write_text(str(os.getpid()))
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_user_interface_that_is_interrupted_ends_its_server_in_good_order(
    sitenet: Sitenet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stubborn: bool
) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    monkeypatch.setattr("search.tracking.ui_command", lambda *_: (command, None))
    if stubborn:
        monkeypatch.setattr("search.cli.ui._SECONDS_TO_END", 0.5)
        (tmp_path / "stubborn").touch()
    answer = sitenet("ui")
    assert (answer.code, answer.err) == (130, "sitenet: interrupted\n")
    assert (tmp_path / "asked").exists(), "only then it ends its own processes"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
