"""The manifest of a recorded study."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from search.journal import Journal, SessionStarted, StudyCreated
from search.study import StudyFolder

RECORD = Path(__file__).resolve().parents[2] / "experiments" / "record.py"
COMMIT, OTHER = "a1" * 20, "b2" * 20


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("record", RECORD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "git", lambda *_: "c3" * 20)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """Return a study of an earlier version: keys that are no longer known."""
    folder = StudyFolder(tmp_path)
    folder.study_file.write_text(
        "version: 1\nobjective: {mode: min}\nalgorithm: {seed: 3}\n"
        "data: {source: /somewhere/table.parquet}\n"
    )
    split = {"store_digest": "s", "digest": "d", "train": ["a", "b"]}
    split |= {"validation": ["c"], "test": ["e"], "config": {"unknown": 1}}
    folder.split.write_text(json.dumps(split))
    journal = Journal.open(folder.journal)
    journal.append(StudyCreated(name="s", study_digest="s", space_digest="p"))
    journal.append(
        SessionStarted(session=1, host="h", pid=1, versions={"python": "3.11"})
    )
    versions = {"python": "3.12", "git": COMMIT}
    journal.append(
        SessionStarted(
            session=2, host="h", pid=1, versions=versions, purpose="promotion"
        )
    )
    return folder


def test_every_session_has_its_versions_and_its_commit(
    record: ModuleType, folder: StudyFolder
) -> None:
    content = record.manifest(folder, folder.state())
    first, second = content["sessions"]
    assert (first["git_commit"], first["versions"]) == (None, {"python": "3.11"})
    assert (second["git_commit"], second["versions"]) == (COMMIT, {"python": "3.12"})
    assert [s["purpose"] for s in (first, second)] == ["search", "promotion"]
    assert content["recorded_at_commit"] == "c3" * 20
    assert content["seeds"] == {"algorithm.seed": 3}
    assert content["source"] == "table.parquet"
    assert (content["source_digest"], content["n_train"]) == (None, 2)
    stated = record.manifest(folder, folder.state(), OTHER)["sessions"]
    assert [s["git_commit"] for s in stated] == [OTHER, COMMIT]


def test_the_digest_of_the_source_is_the_promotions(
    record: ModuleType, folder: StudyFolder
) -> None:
    folder.promotion.mkdir()
    (folder.promotion / "result.json").write_text('{"data_digest": "abc"}')
    assert record.manifest(folder, folder.state())["source_digest"] == "abc"
