"""A GPU that is there and not asked for."""

from pathlib import Path

import pytest
from support.toy_study import study_document, write_study

from search.engine.stopping import StopRequest
from search.journal import StudyState
from search.study import RunOptions, StudyData, StudyFolder, load_study
from search.study.session import Session
from sitenet_core.config import SplitConfig
from sitenet_core.data import Split
from sitenet_core.errors import InfrastructureError

SAID = "resources.gpus is 0, but this machine has a GPU; set resources.gpus"


class NoTracker:
    def sync(self, state: StudyState, *, now: bool = False) -> None:
        del state, now


@pytest.mark.parametrize(
    ("there", "gpus", "times"), [(True, 0, 1), (True, 0.5, 0), (False, 0, 0)]
)
def test_it_is_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    there: bool,
    gpus: float,
    times: int,
) -> None:
    def away() -> None:
        raise InfrastructureError("Ray is away")

    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("search.engine.ray_cluster.ray_connection", away)
    document = study_document(tmp_path / "crystals", resources={"gpus": gpus})
    study = load_study(write_study(tmp_path, document))
    split = Split(
        column="target",
        config=SplitConfig(),
        cell_limit=8,
        store_digest="s",
        train=(),
        validation=(),
        test=(),
    )
    folder = StudyFolder(tmp_path / "studies" / "toy")
    options = RunOptions(tracker=lambda _folder, _data: NoTracker())
    session = Session(study, folder, StudyData({}, split, "d"), options)
    with pytest.raises(InfrastructureError, match="Ray is away"):
        session.run(StopRequest())
    printed = capsys.readouterr()
    assert (printed.err.count(SAID), printed.out) == (times, "")
    assert not folder.exists, "without Ray no session begins, and nothing is fixed"
