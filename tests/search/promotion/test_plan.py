"""What a promotion trains: equal budget and data, nothing of the test set."""

from pathlib import Path

import pytest
from support.promotable_study import LEARNING_RATES, make_study

from search.promotion.plan import PromotionPlan, make_plan
from search.study import StudyFolder, prepare_data, saved_study
from sitenet_core.errors import ConfigError
from sitenet_core.families import get_family


def plan_of(folder: StudyFolder) -> PromotionPlan:
    study = saved_study(folder)
    return make_plan(folder.state(), study, prepare_data(study, folder))


def test_the_best_completed_trial_goes_into_the_long_training(
    study: StudyFolder,
) -> None:
    plan = plan_of(study)
    assert (plan.trial, plan.rung, plan.value) == (1, 2, 0.5)
    winner = plan.configuration("winner")
    assert winner.optimizer.learning_rate == LEARNING_RATES[1]
    assert (winner.training.epochs, winner.training.seed) == (3, 7)


def test_a_preset_has_the_studys_cells_and_budget_and_its_own_model(
    tmp_path: Path,
) -> None:
    plan = plan_of(make_study(tmp_path, references="preset:paper, constant"))
    winner, paper = plan.configuration("winner"), plan.configuration("preset:paper")
    assert paper.training == winner.training
    settings = get_family("sitenet").settings
    assert settings(paper) == settings(winner)
    original = get_family("sitenet").Config.from_preset("paper")
    for section in ("model", "optimizer", "batch", "features"):
        assert getattr(paper, section) == getattr(original, section)
    assert plan.networks == ("winner", "preset:paper")
    assert tuple(plan.models) == ("winner", "preset:paper", "constant")


def test_crystals_are_counted_as_they_are_trained_on(tmp_path: Path) -> None:
    on_train = plan_of(make_study(tmp_path / "a"))
    on_both = plan_of(make_study(tmp_path / "b", train_on="train+validation"))
    assert (on_train.n_train, on_train.n_test) == (9, 4)
    assert (on_both.n_train, on_both.n_test) == (12, 4)
    assert on_both.split_digest == on_train.split_digest


def test_a_preset_that_does_not_exist_is_refused_with_a_hint(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    text = folder.study_file.read_text()
    folder.study_file.write_text(text.replace("preset:test", "preset:papr"))
    with pytest.raises(ConfigError, match=r"'preset:papr' .* did you mean 'paper'"):
        plan_of(folder)


def test_a_plan_comes_back_from_the_journal_as_it_was(study: StudyFolder) -> None:
    plan = plan_of(study)
    assert PromotionPlan.model_validate(plan.model_dump(mode="json")) == plan
