"""The study file: what is searched, on which data, how long, with what."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sitenet_core.config import DataConfig, StrictModel

MLFLOW_PREFIX = "mlflow:"
"""Marks an experiment of the tracking store among the names of earlier studies."""


class NoSchedulerConfig(StrictModel):
    """Every trial is trained to its end."""

    kind: Literal["none"] = "none"


class AshaConfig(StrictModel):
    """Successive halving: the better part of a rung is trained on."""

    kind: Literal["asha"] = "asha"
    mode: Literal["promotion", "stopping"] = "promotion"
    """`promotion`: a trial waits at a rung until it is among the best there.
    `stopping`: it goes straight on if it is among the best when it gets there, and
    ends otherwise."""
    min_epochs: int | None = Field(default=None, ge=1)
    """Epochs of the first rung; null becomes 3, or all of a shorter trial, when a study
    is read, and stays null where rungs are levels of another fidelity."""
    eta: int = Field(default=3, ge=2)
    """Each rung is `eta` times as deep as the one before, and takes the best 1/`eta`
    of its trials."""


SchedulerConfig = Annotated[NoSchedulerConfig | AshaConfig, Field(discriminator="kind")]


class EpochsFidelity(StrictModel):
    """Rungs are numbers of epochs; a trial goes on from its checkpoint."""

    kind: Literal["epochs"] = "epochs"


class StructuresFidelity(StrictModel):
    """Rungs are shares of the training structures, each a training of its own."""

    kind: Literal["structures"] = "structures"
    shares: tuple[float, ...] = Field(min_length=2)
    """Ascending, the last one 1. A larger share holds every smaller one; validation is
    the same for all."""
    seed: int = Field(default=0, ge=0)
    """Decides which structures are in a share."""

    @field_validator("shares")
    @classmethod
    def _up_to_all(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        _check_ascending(shares)
        if shares[0] <= 0 or shares[-1] != 1:
            raise ValueError(
                "shares lie above 0, and the last one is 1: all structures"
            )
        return shares


class MaxAtomsFidelity(StrictModel):
    """Rungs are sizes of the supercell, each a training of its own."""

    kind: Literal["max_atoms"] = "max_atoms"
    values: tuple[int, ...] = Field(min_length=2)
    """Ascending `cell.max_atoms`, the last one the study's. Stores of all of them are
    built before the first trial."""

    @field_validator("values")
    @classmethod
    def _sizes(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        _check_ascending(values)
        if values[0] < 1:
            raise ValueError("a supercell has at least one atom")
        return values


FidelityConfig = Annotated[
    EpochsFidelity | StructuresFidelity | MaxAtomsFidelity, Field(discriminator="kind")
]


def _check_ascending(values: Sequence[float]) -> None:
    if any(b <= a for a, b in pairwise(values)):
        raise ValueError(
            f"{list(values)} do not ascend; the first rung is the cheapest"
        )


class AlgorithmConfig(StrictModel):
    """How configurations are proposed and which are trained on."""

    searcher: Literal["gaussian", "hyperopt", "optuna", "random"] = "gaussian"
    scheduler: SchedulerConfig = AshaConfig()
    seed: int = Field(default=0, ge=0)
    """With one trial at a time, the seed and the data decide every proposal."""
    startup_trials: int | None = Field(default=None, ge=1)
    """Trials spread over the space before the model of the searcher is used; null is
    the searcher's own number (gaussian 10, hyperopt and optuna 20). Not for `random`,
    which has no model."""


class BudgetConfig(StrictModel):
    """When the study ends, whichever comes first; null has no limit.

    When all trials have begun, only promotions by rungs go on. When epochs are used up,
    what is running finishes its rung. When time is, running trials are interrupted at
    their last checkpoint. A larger budget goes on with each.
    """

    trials: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    """Epochs of all trials together. Exceeded by less than one segment, that is the
    way from one rung to the next."""
    wall_clock_minutes: float | None = Field(default=None, gt=0)
    """Summed over sessions."""
    gpu_hours: float | None = Field(default=None, gt=0)
    """Time of all segments, each times `resources.gpus`."""

    @model_validator(mode="after")
    def _limited(self) -> Self:
        limits = (self.trials, self.epochs, self.wall_clock_minutes, self.gpu_hours)
        if all(limit is None for limit in limits):
            raise ValueError(
                "a study needs an end: give at least one of trials, epochs, "
                "wall_clock_minutes, gpu_hours"
            )
        return self


class ResourcesConfig(StrictModel):
    """What one trial gets."""

    cpus: int = Field(default=1, ge=1)
    """CPU cores, and threads of torch."""
    gpus: float = Field(default=0, ge=0)
    """GPUs; a fraction shares one."""
    concurrent: int | None = Field(default=None, ge=1)
    """Trials at a time; null: as many as the machine or the cluster has room for."""

    @model_validator(mode="after")
    def _whole_or_part(self) -> Self:
        if self.gpus > 1 and not float(self.gpus).is_integer():
            raise ValueError("gpus: a fraction of one GPU, or whole GPUs")
        return self


class TrialLimits(StrictModel):
    """What a trial may not exceed."""

    timeout_minutes: float | None = Field(default=None, gt=0)
    """Training time of one trial, all its segments together; null has no limit."""
    max_lost_worker_retries: int = Field(default=2, ge=0)
    """How often a trial goes on from its last checkpoint after its worker died."""


class PromotionConfig(StrictModel):
    """What becomes of the winner; may change until `sitenet promote` has begun."""

    top_k: int = Field(default=5, ge=1)
    """So many of the best trials are trained again before one is called the best; 1
    takes the search's word. Five with three seeds is what it takes to name a right
    winner nine times in ten (`experiments/benchmarks/winner_noise`)."""
    seeds: int = Field(default=3, ge=0)
    """Further seeds that each of them is trained with; 0 takes the search's word."""
    folds: bool = False
    """Only for `data.split.kind: fold`: each seed is trained once for every official
    fold but the one of the test set, and that fold validates; the cost is multiplied
    by their number. false: the study's own split."""
    tie_within: float = Field(default=0.0025, ge=0, lt=1)
    """Trials that the reruns cannot tell from the best count as equally good if their
    mean is worse by at most this share of it; of those, the cheapest is promoted."""
    train_on: Literal["train", "train+validation"] = "train"
    """`train+validation`: both, a fixed number of epochs, the last weights; `train`:
    the best validation decides which weights."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs of the long training; null: those of a trial."""
    seed: int = Field(default=0, ge=0)
    references: tuple[str, ...] = ("constant",)
    """Models that meet the test set beside the winner: `preset:NAME`, `composition`,
    `constant`."""
    register_as: str | None = None
    """Name in the model registry; null: the study's name."""

    @model_validator(mode="after")
    def _known_references(self) -> Self:
        for reference in self.references:
            if reference not in {"composition", "constant"} and not (
                reference.startswith("preset:") and len(reference) > len("preset:")
            ):
                raise ValueError(
                    f"reference {reference!r} is none of preset:NAME, composition, "
                    "constant"
                )
        return self


class StudyConfig(StrictModel):
    """A study file with every default filled in."""

    version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Folder of the study and experiment in MLflow."""
    space: str
    """Name of a shipped space, or a path relative to the study file."""
    warm_start: tuple[str, ...] = ()
    """Earlier studies to learn from: names or folders of studies, relative to the
    folder of this study or to the study file, or `mlflow:EXPERIMENT`. They are read
    once, when the study begins."""
    data: DataConfig
    configuration: dict[str, Any] = Field(default_factory=dict)
    """Nested changes to the preset and the fixed values of the space."""
    algorithm: AlgorithmConfig = AlgorithmConfig()
    fidelity: FidelityConfig = EpochsFidelity()
    """What the rungs of the scheduler are levels of."""
    budget: BudgetConfig
    resources: ResourcesConfig = ResourcesConfig()
    trial: TrialLimits = TrialLimits()
    promotion: PromotionConfig = PromotionConfig()

    @model_validator(mode="after")
    def _gpu_hours_of_gpus(self) -> Self:
        if self.budget.gpu_hours is not None and self.resources.gpus == 0:
            raise ValueError(
                "budget.gpu_hours would never be used up, since resources.gpus is 0; "
                "give each trial a GPU or a part of one, or limit the study otherwise"
            )
        return self

    @field_validator("warm_start")
    @classmethod
    def _named_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if not name.removeprefix(MLFLOW_PREFIX):
                raise ValueError(
                    "an entry is empty; name a study, its folder, or mlflow:EXPERIMENT"
                )
            if name in names[:index]:
                raise ValueError(f"{name!r} is listed twice; a study counts once")
        return names
