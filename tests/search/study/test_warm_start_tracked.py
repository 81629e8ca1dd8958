"""Earlier studies that are read from MLflow: they tell what their journals tell."""

import shutil
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.earlier_studies import write_earlier_study
from support.planned_trials import PlannedTrial, begun, ended, planned_trials
from support.toy_study import study_document, write_study
from support.tracked_studies import empty_store

from search.engine.warm_start import WarmStart, ranks
from search.journal import Journal
from search.study import Study, StudyFolder, load_study, sync_study
from search.study.edit import make_edit, plan_edit
from search.study.warm_start import resolve_warm_start
from search.tracking import MlflowTracker
from search.tracking.points import Point
from search.tracking.store import MlflowStore
from search.trial.outcome import Outcome
from sitenet_core.errors import ConfigError

RATE = "optimizer.learning_rate"
DECAY = "optimizer.weight_decay"
TRIED = [({RATE: 5e-3}, 0.3), ({RATE: 2e-3}, 0.1), ({RATE: 9e-3}, 0.2)]
ASHA = {"scheduler": {"kind": "asha", "eta": 2}}


def rates(low: float = 1e-4, high: float = 1e-2) -> dict[str, Any]:
    return {RATE: {"type": "float", "low": low, "high": high, "log": True}}


def study(folder: Path, parameters: dict[str, Any], **changes: Any) -> Study:
    document = study_document(Path("crystals"), **changes)
    path = write_study(folder, document, parameters=parameters, known_good=[])
    return load_study(path)


def told(home: Path, name: str, parameters: dict[str, Any]) -> tuple[Study, WarmStart]:
    """Return a new study, and what `name` in `home/studies` hands on to it."""
    new = study(home / "new", parameters, name="new", warm_start=[name])
    warm_start = resolve_warm_start(new, StudyFolder(home / "studies" / "new"))
    assert warm_start is not None
    return new, warm_start


def both(
    home: Path, parameters: dict[str, Any] | None = None
) -> tuple[WarmStart, WarmStart]:
    """Return what `old` hands on, by its journal and by MLflow; it is the same."""
    new, journal = told(home, "old", parameters or rates())
    _, tracked = told(home, "mlflow:old", parameters or rates())
    assert tracked.studies[0].place.startswith("sqlite:")
    earlier = [w.earlier(new.space, new.base_values) for w in (journal, tracked)]
    assert earlier[0] == earlier[1]
    assert journal.portfolio == tracked.portfolio
    return journal, tracked


@pytest.fixture
def old(tmp_path: Path) -> StudyFolder:
    empty_store(tmp_path / "studies")
    written = study(tmp_path / "old", rates(), name="old")
    return write_earlier_study(tmp_path / "studies" / "old", written, TRIED)


INTERRUPTED = [
    PlannedTrial(1e-3, (0.4, 0.3, 0.2, 0.1, 0.5, 0.6), 1, (), keeps=True, end=None),
    PlannedTrial(2e-3, (0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1, (1,), keeps=True, end=None),
    PlannedTrial(3e-3, (0.1, 0.1, 0.7, 0.7, 0.2, 0.3), 2, (), keeps=True, end=None),
]


@settings(max_examples=12)
@example(trials=INTERRUPTED, kind="epochs", reason="interrupted", seen=1.0)
@example(trials=INTERRUPTED, kind="structures", reason=None, seen=0.5)
@given(
    trials=planned_trials(),
    kind=st.sampled_from(["epochs", "structures"]),
    reason=st.sampled_from(["trials", "interrupted", None]),
    seen=st.floats(0, 1),
)
def test_journal_and_mlflow_tell_the_same_of_trials_in_every_state(
    trials: list[PlannedTrial], kind: str, reason: str | None, seen: float
) -> None:
    anew = kind == "structures"
    # Two levels or rungs would do for the file; what is read lies in the journal.
    fidelity = {"kind": kind, **({"shares": [0.5, 1.0]} if anew else {})}
    with TemporaryDirectory() as place:
        home = Path(place)
        empty_store(home / "studies")
        written = study(
            home / "old", rates(), name="old", algorithm=ASHA, fidelity=fidelity
        )
        folder = write_earlier_study(home / "studies" / "old", written, [])
        events = [
            begun(),
            *chain(*(t.events(n, anew=anew) for n, t in enumerate(trials))),
            *ended(reason),
        ]
        journal = Journal.open(folder.journal)
        uri = f"sqlite:///{home / 'studies' / 'mlflow.db'}"
        for number, event in enumerate(events):
            journal.append(event)
            if number == round(seen * (len(events) - 1)):
                # The driver has shown it as it was then, and MLflow forgets nothing.
                MlflowTracker(uri, folder.path).sync(folder.state(), now=True)
        sync_study(folder)
        if ranks(folder.state().trials):
            both(home)
            return
        for name in ("old", "mlflow:old"):
            with pytest.raises(ConfigError, match="result yet"):
                told(home, name, rates())


def test_what_an_earlier_study_held_fixed_counts_with_the_value_it_had(
    old: StudyFolder, tmp_path: Path
) -> None:
    sync_study(old)
    decays = {"type": "float", "low": 1e-6, "high": 1e-1, "log": True}
    _, tracked = both(tmp_path, {**rates(), DECAY: decays})
    assert [note.observations for note in tracked.notes] == [3]


def test_without_its_definition_a_study_tells_what_it_sampled(
    old: StudyFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sync_study(old)
    shutil.rmtree(tmp_path / "studies" / "mlartifacts")
    _, tracked = both(tmp_path)
    assert [note.observations for note in tracked.notes] == [3]
    assert "what it held fixed is not known" in caplog.text


def test_a_study_of_another_family_is_refused(old: StudyFolder, tmp_path: Path) -> None:
    space = old.space_file.read_text()
    assert '"sitenet"' in space
    sync_study(old)
    (stored,) = tmp_path.glob("studies/mlartifacts/**/space.json")
    changed = space.replace('"sitenet"', '"other"')
    stored.write_text(changed)
    old.space_file.write_text(changed)
    for name in ("old", "mlflow:old"):
        with pytest.raises(ConfigError, match="a study of family other, while"):
            told(tmp_path, name, rates())


def test_an_edited_study_tells_what_it_is_now(old: StudyFolder, tmp_path: Path) -> None:
    """MLflow never changes a parameter, nor does a curve go away."""
    sync_study(old)
    decays = {"type": "float", "low": 1e-6, "high": 1e-1, "log": True}
    narrow = study(tmp_path / "edit", {**rates(3e-3), DECAY: decays}, name="old")
    make_edit(old, plan_edit(old, narrow))
    sync_study(old)
    assert [t.outcome is Outcome.OUTSIDE for t in old.state().trials] == [0, 1, 0]
    journal, _ = both(tmp_path, {**rates(), DECAY: decays})
    assert [note.trials for note in journal.notes] == [2]


def others(uri: str, *params: dict[str, str], status: str = "FINISHED") -> None:
    opened = MlflowStore(uri)
    experiment = opened.experiment("notebook", None)
    for number, texts in enumerate(params):
        run = opened.create_run(experiment, "try", 0, {"trial": "mine"})
        opened.log(run.run_id, [Point("val_mae", 0.1 + number, 0, 1)], texts)
        opened.set_status(run.run_id, status, 2)


def test_runs_of_others_are_observations_whatever_their_parameters_say(
    tmp_path: Path,
) -> None:
    uri = empty_store(tmp_path / "studies")
    others(
        uri,
        {RATE: "0.001", "note": "NaN", "tags": "[" * 3000, "data.name": "1e999"},
        {"optimizer/learning_rate": "2e-3"},
        {RATE: "0.5"},
        {RATE: "NaN"},
        {RATE: "1" * 400},
        {RATE: "True"},
        {RATE: "None"},
        {"lr": "0.001"},
    )
    _, warm_start = told(tmp_path, "mlflow:notebook", rates())
    rates_told = [flat[RATE] for flat in warm_start.portfolio]
    assert rates_told == [0.001, 0.002, 0.01]
    (note,) = warm_start.notes
    assert (note.trials, note.observations, note.changed) == (8, 2, 1)
    assert sum(note.left_out.values()) == 5
    assert WarmStart.model_validate_json(warm_start.model_dump_json()) == warm_start


def test_an_experiment_without_a_result_says_what_would_count(tmp_path: Path) -> None:
    uri = empty_store(tmp_path / "studies")
    others(uri, {RATE: "0.001"}, status="RUNNING")
    words = r"study.yaml:\d+:\d+: warm_start.0: .* has no run.*of 1 trial.*FINISHED"
    with pytest.raises(ConfigError, match=words):
        told(tmp_path, "mlflow:notebook", rates())
