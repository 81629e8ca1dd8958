"""A study file that names earlier studies: what is read, saved and refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.earlier_studies import write_earlier_study
from support.toy_study import study_document, write_study
from support.tracked_studies import empty_store

from search.journal import Journal, StudyState
from search.study import Study, StudyFolder, load_study
from search.study.resolve import (
    check_digests,
    save_study,
    save_warm_start,
    saved_warm_start,
    study_digest,
)
from search.study.session import begin_study, make_engine
from search.study.warm_start import resolve_warm_start
from search.tracking import MlflowTracker
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError, InfrastructureError

RATE = "optimizer.learning_rate"
DECAY = "optimizer.weight_decay"
WITH_DECAY = {
    RATE: {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    DECAY: {"type": "float", "low": 1e-6, "high": 1e-1, "log": True},
}


def study(folder: Path, space: dict[str, Any] | None = None, **changes: Any) -> Study:
    document = study_document(folder / "crystals", **changes)
    return load_study(write_study(folder, document, **(space or {})))


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """A folder of studies that holds `old`."""
    old = study(tmp_path / "old", name="old")
    tried = [({RATE: 5e-3}, 0.3), ({RATE: 2e-3}, 0.1), ({RATE: 9e-3}, 0.2)]
    failed = ({RATE: 1e-4}, Outcome.FAILED_NAN)
    write_earlier_study(tmp_path / "studies" / "old", old, [*tried, failed])
    return tmp_path / "studies"


def test_the_best_of_an_earlier_study_are_carried_over(studies: Path) -> None:
    new = study(studies.parent / "new", name="new", warm_start=["old"])
    warm_start = resolve_warm_start(new, StudyFolder(studies / "new"))
    assert warm_start is not None
    assert [flat[RATE] for flat in warm_start.portfolio] == [2e-3, 9e-3, 5e-3]
    earlier = make_engine(new, warm_start).earlier
    assert [o.rank for o in earlier.observations] == pytest.approx([2 / 3, 0, 1 / 3, 1])


def test_a_parameter_that_was_fixed_has_the_value_it_had(studies: Path) -> None:
    space = {"parameters": WITH_DECAY, "known_good": []}
    new = study(studies.parent / "new", space, name="new", warm_start=["old"])
    warm_start = resolve_warm_start(new, StudyFolder(studies / "new"))
    assert warm_start is not None
    old = study(studies.parent / "again").base_values[DECAY]
    assert {flat[DECAY] for flat in warm_start.portfolio} == {old}
    assert warm_start.notes[0].observations == 4


def test_folders_are_found_beside_the_study_file_too(studies: Path) -> None:
    home = studies.parent / "new"
    new = study(home, name="new", warm_start=["../studies/old"])
    elsewhere = StudyFolder(studies.parent / "elsewhere" / "new")
    assert resolve_warm_start(new, elsewhere) is not None


def test_an_experiment_of_mlflow_tells_the_same_as_the_journal(studies: Path) -> None:
    old = StudyFolder(studies / "old")
    MlflowTracker(empty_store(studies), old.path).sync(old.state(), now=True)
    found = []
    for name in ("old", "mlflow:old"):
        new = study(studies.parent / "new", name="new", warm_start=[name])
        warm_start = resolve_warm_start(new, StudyFolder(studies / "new"))
        assert warm_start is not None
        found.append((warm_start, make_engine(new, warm_start).earlier))
    assert found[0][1] == found[1][1]
    assert found[1][0].studies[0].place.startswith("sqlite:")


def test_a_torn_last_line_of_an_earlier_journal_is_left_out(studies: Path) -> None:
    journal = studies / "old" / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[:-20])
    new = study(studies.parent / "new", name="new", warm_start=["old"])
    assert resolve_warm_start(new, StudyFolder(studies / "new")) is not None
    assert journal.read_bytes() == content[:-20], "an earlier study is only read"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["oldd"],
            r"study.yaml:\d+:\d+: warm_start.0: .* called 'oldd' .*mean 'old'\?",
        ),
        (["old", "new"], r"study.yaml:\d+:\d+: warm_start.1: 'new' is this study"),
        (["mlflow:gone"], r"study.yaml:\d+:\d+: warm_start.0: MLflow at .*'gone'"),
    ],
)
def test_what_cannot_be_used_is_said_at_its_place(
    studies: Path, names: list[str], message: str
) -> None:
    new = study(studies.parent / "new", name="new", warm_start=names)
    with pytest.raises(ConfigError, match=message):
        resolve_warm_start(new, StudyFolder(studies / "new"))
    assert not (studies / "mlflow.db").exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["old", "old"], r"study.yaml:\d+:\d+: warm_start: 'old' is listed twice"),
        (["mlflow:"], r"study.yaml:\d+:\d+: warm_start: an entry is empty"),
        ("old", r"study.yaml:\d+:\d+: warm_start: .*tuple"),
    ],
)
def test_a_bad_list_is_refused(tmp_path: Path, names: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(tmp_path, warm_start=names)


def test_a_damaged_journal_and_an_empty_study_are_said_by_name(studies: Path) -> None:
    journal = studies / "old" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"garbage\n" + b"".join(lines[2:]))
    empty = study(studies.parent / "empty", name="empty")
    write_earlier_study(studies / "empty", empty, [])
    new = study(studies.parent / "new", name="new", warm_start=["old", "empty"])
    with pytest.raises(ConfigError) as caught:
        resolve_warm_start(new, StudyFolder(studies / "new"))
    first, second = str(caught.value).splitlines()
    assert "warm_start.0" in first
    assert "journal.jsonl:2: the journal is damaged" in first
    assert "no trial of this study has a result yet" in second


def begun(studies: Path) -> tuple[StudyFolder, Study]:
    """A study that began with what `old` hands on."""
    new = study(studies.parent / "new", name="new", warm_start=["old"])
    folder = StudyFolder(studies / "new")
    save_study(folder, new)
    save_warm_start(folder, resolve_warm_start(new, folder))
    begin_study(folder, new)
    return folder, new


def test_a_begun_study_keeps_what_it_was_handed(studies: Path) -> None:
    folder, new = begun(studies)
    before = make_engine(new, saved_warm_start(folder)).earlier
    for file in (studies / "old").iterdir():
        file.unlink()
    check_digests(folder, new)
    assert make_engine(new, saved_warm_start(folder)).earlier == before
    assert StudyState.read(folder.journal).warm_start_digest is not None


def test_an_edited_warm_start_is_noticed(studies: Path) -> None:
    folder, new = begun(studies)
    text = folder.warm_start_file.read_text()
    folder.warm_start_file.write_text(text.replace("0.002", "0.003"))
    with pytest.raises(ConfigError, match=r"warm_start.json no longer fit"):
        check_digests(folder, new)
    folder.warm_start_file.write_text("{")
    with pytest.raises(InfrastructureError, match="restore it from a backup"):
        saved_warm_start(folder)


def test_a_study_without_earlier_ones_has_the_digest_it_always_had(
    tmp_path: Path,
) -> None:
    cold = study(tmp_path)
    assert cold.config.warm_start == ()
    older = cold.config.model_dump(
        mode="json",
        exclude={"budget", "resources", "trial", "promotion", "warm_start"},
    )
    # Younger than the first studies too, and at the value that means what was before.
    assert older.pop("fidelity") == {"kind": "epochs"}
    text = json.dumps(older, sort_keys=True, separators=(",", ":"))
    assert study_digest(cold.config) == hashlib.sha256(text.encode()).hexdigest()
    assert study_digest(cold.config) != study_digest(
        study(tmp_path, warm_start=["old"]).config
    )
    assert resolve_warm_start(cold, StudyFolder(tmp_path / "toy")) is None


def test_an_old_journal_has_no_warm_start(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    cold = study(tmp_path)
    save_study(folder, cold)
    begin_study(folder, cold)
    entry = Journal.open(folder.journal).entries[0]
    assert entry.event.model_dump()["warm_start_digest"] is None
    check_digests(folder, cold)
