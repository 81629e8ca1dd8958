"""Every study file under experiments/ can be run by the program as it is now."""

from pathlib import Path

import pytest

from search.study import load_study
from search.study.prepare import reachable_configurations

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
FILES = sorted(EXPERIMENTS.glob("*/study.yaml"))


def test_the_quick_start_and_the_recorded_study_are_there() -> None:
    names = {file.parent.name for file in FILES}
    assert {
        "quickstart",
        "2026-11-band-gap-cpu",
        "2026-11-band-gap-cpu-fused",
    } <= names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_study_file_is_accepted(file: Path) -> None:
    study = load_study(file)
    assert study.config.budget.trials >= 1
    assert study.base.family == study.space.family
    assert reachable_configurations(study)
    for flat in study.space.known_good:
        assert study.space.faults(flat) == {}


@pytest.mark.parametrize(
    "file", sorted(EXPERIMENTS.glob("*/*.y*ml")), ids=lambda file: file.name
)
def test_no_yaml_of_an_experiment_is_left_unchecked(file: Path) -> None:
    assert file.name == "study.yaml", "a YAML of another kind needs a test of its own"
