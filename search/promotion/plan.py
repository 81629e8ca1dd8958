"""What a promotion will do, decided once and journalled before it begins."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError

from search.journal import PromotionStarted, StudyState
from search.promotion.choice import choose
from search.promotion.contenders import Choice
from search.study.load import Study
from search.study.prepare import StudyData
from search.tracking import WINNER
from sitenet_core.config import (
    StrictModel,
    TrialConfig,
    flatten,
    merge,
    nearest,
    problems_of,
    unflatten,
)
from sitenet_core.errors import ConfigError
from sitenet_core.families import get_family

PRESET = "preset:"
CONSTANT = "constant"
COMPOSITION = "composition"


class PromotionPlan(StrictModel):
    """Everything that decides the numbers of a promotion."""

    started: str
    """ISO 8601, UTC."""
    trial: int
    rung: int
    """Epoch at which the trial was chosen."""
    value: float
    """Validation objective by which it was chosen."""
    train_on: Literal["train", "train+validation"]
    epochs: int = Field(ge=1)
    seed: int = Field(ge=0)
    data_digest: str
    """Of the source."""
    split_digest: str
    n_train: int
    """Crystals that the weights are fitted to."""
    n_test: int
    family: str
    models: dict[str, dict[str, JsonValue]]
    """Model → complete flat configuration, in the order of training: the winner, then
    the references. Empty for a reference that is not a network."""
    choice: Choice | None = None
    """How the trial was chosen; None for a promotion that began before reruns."""

    def configuration(self, model: str) -> TrialConfig:
        """Return what `model` is trained with."""
        nested = unflatten(self.models[model])
        return get_family(self.family).Config.model_validate(nested)

    @property
    def networks(self) -> tuple[str, ...]:
        """The models that are trained by `fit`, the winner first."""
        return tuple(name for name, flat in self.models.items() if flat)


def make_plan(state: StudyState, study: Study, data: StudyData) -> PromotionPlan:
    """Return the plan for the best trial of a study and the references it declares.

    A preset keeps its own model, optimiser and batch. Cells, arithmetic, epochs, seed
    and crystals are the study's, so that all networks have the same data and budget.

    Raises:
        NoTrialSucceededError: if there is no trial to promote.
        ConfigError: if a reference names a preset that does not exist.
    """
    choice = choose(state)
    promotion, split = study.config.promotion, data.split
    winner = configuration(study, state, choice.trial)
    epochs = promotion.epochs or winner.training.epochs
    budget = {"training": {"epochs": epochs, "seed": promotion.seed}}
    models = {WINNER: _flat(_changed(winner, budget))}
    for reference in promotion.references:
        models[reference] = {}
        if reference.startswith(PRESET):
            preset = _preset(type(winner), reference)
            base = study.base.model_dump(include={"cell", "training"})
            models[reference] = _flat(_changed(preset, merge(base, budget)))
    with_validation = promotion.train_on == "train+validation"
    return PromotionPlan(
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        trial=choice.trial,
        rung=choice.epoch,
        value=choice.value,
        train_on=promotion.train_on,
        epochs=epochs,
        seed=promotion.seed,
        data_digest=data.source_digest,
        split_digest=split.digest,
        n_train=len(split.train) + with_validation * len(split.validation),
        n_test=len(split.test),
        family=winner.family,
        models=models,
        choice=choice,
    )


def configuration(
    study: Study, state: StudyState, trial: int, seed: int | None = None
) -> TrialConfig:
    """Return what a trial was trained with, with another seed if one is given."""
    flat = state.trials[trial].configuration
    config = study.space.configuration(flat, study.config.configuration)
    if seed is None:
        return config
    changes = {"training": {"seed": seed}}
    return type(config).model_validate(merge(config.model_dump(), changes))


def journalled_plan(state: StudyState) -> PromotionPlan | None:
    """Return the plan that a promotion of this study began with, None before one."""
    for event in state.promotion:
        if isinstance(event, PromotionStarted):
            return PromotionPlan.model_validate(event.plan)
    return None


def _preset(config_class: type[TrialConfig], reference: str) -> TrialConfig:
    name = reference.removeprefix(PRESET)
    if name not in config_class.presets:
        raise ConfigError(
            f"promotion.references: {reference!r} names no preset of this family; "
            f"{nearest(name, config_class.presets)}"
        )
    return config_class.from_preset(name)


def _changed(config: TrialConfig, changes: dict[str, Any]) -> TrialConfig:
    config_class = type(config)
    try:
        return config_class.model_validate(merge(config.model_dump(), changes))
    except ValidationError as error:
        listed = "; ".join(
            f"{'.'.join(map(str, p.location))}: {p.message}"
            for p in problems_of(config_class, error)
        )
        raise ConfigError(
            f"a model of the promotion has no valid configuration: {listed}; mend "
            "`promotion` and go on, or `configuration` in a new study"
        ) from error


def _flat(config: TrialConfig) -> dict[str, JsonValue]:
    return flatten(config.model_dump(mode="json"))
