"""A whole small study with real trainings, and what must not start."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.toy_study import SPACE, study_document, write_crystals, write_study

from search.engine.desk import Desk
from search.engine.segment import Answer, EndReason
from search.journal import StudyState
from search.study import RunOptions, StudyData, StudyFolder, run_study, study_summary
from search.study.lock import study_lock
from search.trial.outcome import Outcome
from search.trial.payload import SegmentPayload
from sitenet_core.errors import ConfigError, NoTrialSucceededError, StudyInUseError

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    # Ray leaves the pipes and sockets of its daemons to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Recorder:
    """A tracker that remembers, and fails the first time."""

    def __init__(self) -> None:
        self.states: list[StudyState] = []
        self.calls = 0

    def sync(self, state: StudyState, *, now: bool = False) -> None:
        del now
        self.calls += 1
        if self.calls == 1:
            raise OSError("the server is away")
        self.states.append(state)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with crystals and a Ray of this module."""
    from search.engine.ray_cluster import ray_connection

    folder = tmp_path_factory.mktemp("home")
    write_crystals(folder / "crystals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), str(ROOT)]))
        patch.setenv("SITENET_STORES", str(folder / "stores"))
        patch.delenv("RAY_ADDRESS", raising=False)
        with ray_connection():
            yield folder


def options(home: Path, recorder: Recorder | None = None, **more: object) -> RunOptions:
    def tracker(_folder: StudyFolder, _data: StudyData) -> Recorder:
        return recorder or Recorder()

    directory = home / "studies"
    return RunOptions(directory=directory, progress=False, tracker=tracker, **more)  # type: ignore[arg-type]


def test_a_searcher_that_is_not_installed_fixes_no_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    document = study_document(tmp_path / "crystals", algorithm={"searcher": "optuna"})
    path = write_study(tmp_path, document)
    with pytest.raises(ConfigError, match=r"pip install 'sitenet-search\[optuna\]'"):
        run_study(path, options(tmp_path))
    assert not (tmp_path / "studies").exists()


def test_a_study_runs_is_refused_a_second_start_and_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = study_document(home / "crystals")
    path = write_study(home, document)
    recorder = Recorder()
    summary = run_study(path, options(home, recorder))
    assert summary.counts == {"completed": 2}
    first = summary.state
    assert first.trials[0].configuration == {"optimizer.learning_rate": 1e-3}
    for trial in first.trials:
        assert trial.bundle is not None
        header = json.loads((summary.folder / trial.bundle / "bundle.json").read_text())
        assert header["config"]["family"] == "sitenet"
        assert sorted(trial.epoch_values) == [1, 2]
    assert recorder.states[-1] == first, "a tracker that failed once catches up"
    assert not (summary.folder / ".ray").exists()
    assert capsys.readouterr().out == ""

    with pytest.raises(ConfigError, match="exists already; go on with it by --resume"):
        run_study(path, options(home))

    document["budget"]["trials"] = 3
    write_study(home, document)
    second = run_study(path, options(home, resume=True))
    assert second.state.trials[:2] == first.trials, "finished trials are not run again"
    assert second.counts == {"completed": 3}
    document_json = json.dumps(second.as_dict(), allow_nan=False)
    assert json.loads(document_json)["best"]["outcome"] == "completed"

    by_name = run_study("toy", options(home, resume=True))
    assert by_name.state.trials == second.state.trials
    assert study_summary(StudyFolder(second.folder)).counts == {"completed": 3}


def test_trials_are_divided_for_the_memory_that_is_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.trial.memory.available_memory", lambda: 10**6)
    document = study_document(home / "crystals", name="tight", budget={"trials": 1})
    summary = run_study(write_study(home / "tight", document), options(home))
    assert summary.counts == {"completed": 1}
    for trial in summary.as_dict()["trials"]:
        memory = trial["memory"]
        assert memory["memory_bytes"] < 10**6 < memory["predicted_bytes"]
        assert memory["micro_batch"] <= 512, "nothing fits, so it is the smallest"
        assert memory["halvings"] == 0
        assert memory["peak_bytes"] > 10**8
        log = summary.folder / f"trials/{trial['trial']:05d}/attempt-1/log.txt"
        words = f"at most {memory['micro_batch']} at once"
        assert words in log.read_text(), "the worker did as was planned"

    # A later session, as far as to what it hands out first: Ray need not train that.
    given: list[SegmentPayload | Answer] = []

    def handed_out(desk: Desk, *_: object) -> EndReason:
        given.append(desk.next("worker"))
        return EndReason.INTERRUPTED

    monkeypatch.setattr("search.engine.ray_runner.run_on_ray", handed_out)
    monkeypatch.setattr("search.trial.memory.available_memory", lambda: 10**12)
    document["budget"]["trials"] = 2
    path = write_study(home / "tight", document)
    resumed = run_study(path, options(home, resume=True)).as_dict()["trials"]
    memory = [trial["memory"] for trial in resumed]
    assert memory[1]["memory_bytes"] > 10**9
    sizes = {part["micro_batch"] for part in memory}
    assert len(sizes) == 1, "a study goes on as it was divided at first"
    (payload,) = given
    assert isinstance(payload, SegmentPayload)
    assert {payload.micro_batch} == sizes


def test_a_study_goes_on_with_an_extended_space_and_learns_from_the_first(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = study_document(home / "crystals", name="grown")
    first = run_study(write_study(home / "grown", document), options(home))
    decay = {"type": "float", "low": 1e-9, "high": 0.5, "log": True}
    parameters = {**SPACE["parameters"], "optimizer.weight_decay": decay}
    document["budget"]["trials"] = 3
    wider = {"parameters": parameters, "known_good": []}
    path = write_study(home / "grown", document, **wider)
    with pytest.raises(ConfigError, match=r"With --edit .*\n.*2 of 2 trials fit"):
        run_study(path, options(home, resume=True))
    second = run_study(path, options(home, edit=True))
    assert [t.value for t in second.state.trials[:2]] == [
        t.value for t in first.state.trials
    ]
    assert second.counts == {"completed": 3}
    assert "optimizer.weight_decay" in second.state.trials[0].configuration

    document = study_document(home / "crystals", name="warm", warm_start=["grown"])
    good = {"known_good": []}
    warm = run_study(write_study(home / "warm", document, **good), options(home))
    best = second.state.best
    assert best is not None
    (portfolio, _) = warm.state.trials
    assert portfolio.source == "portfolio"
    rate = "optimizer.learning_rate"
    assert portfolio.configuration[rate] == best.configuration[rate]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("change", [{"edit": True}, {"name": "other"}])
def test_what_only_a_study_file_can_say_is_refused_with_a_name(
    home: Path, change: dict[str, Any]
) -> None:
    """Going on without it would spend the budget on what nobody asked for."""
    folder = home / "studies" / "under-way"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("the first event\n")
    with pytest.raises(ConfigError, match=r"--(edit|name) needs the study file .*yaml"):
        run_study("under-way", options(home, resume=True, **change))
    shutil.rmtree(folder)


def test_a_study_in_use_is_refused(home: Path) -> None:
    path = write_study(home / "busy", study_document(home / "crystals", name="busy"))
    folder = home / "studies" / "busy"
    folder.mkdir(parents=True)
    mine = f"process {os.getpid()}"
    with study_lock(folder / "lock"), pytest.raises(StudyInUseError, match=mine):
        run_study(path, options(home))


def test_a_study_without_a_success_says_why(home: Path) -> None:
    document = study_document(
        home / "crystals", name="hopeless", trial={"timeout_minutes": 1e-9}
    )
    path = write_study(home / "hopeless", document)
    with pytest.raises(NoTrialSucceededError, match="2 failed_timeout") as caught:
        run_study(path, options(home))
    assert caught.value.exit_code == 4
    state = StudyState.read(home / "studies" / "hopeless" / "journal.jsonl")
    assert {t.outcome for t in state.trials} == {Outcome.FAILED_TIMEOUT}


def test_more_than_the_machine_has_is_refused(home: Path) -> None:
    document = study_document(home / "crystals", name="wide", resources={"cpus": 999})
    path = write_study(home / "wide", document)
    with pytest.raises(ConfigError, match="asks for 999 CPUs"):
        run_study(path, options(home))
    assert not StudyFolder(home / "studies" / "wide").exists, "the name is still free"


def test_a_name_that_is_no_study_cannot_begin_one(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"begins with a study file \(.yaml\)"):
        run_study("nothing", options(home))
