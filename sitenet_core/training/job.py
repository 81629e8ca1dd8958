"""`sitenet train`: one training from one YAML file, ending in a bundle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from sitenet_core.bundle import bundle_from_checkpoint
from sitenet_core.config import (
    DataConfig,
    Problem,
    StrictModel,
    TrialConfig,
    load_yaml,
    nearest,
    problems_of,
    validate,
)
from sitenet_core.data import PackedStore, Split, load_split
from sitenet_core.data.build import OnProgress
from sitenet_core.errors import ConfigError
from sitenet_core.families.registry import get_family
from sitenet_core.families.stores import (
    StoreBuilding,
    open_family_store,
    split_of_store,
)
from sitenet_core.training.fit import fit
from sitenet_core.training.options import FitOptions, FitResult, TrainingData


class JobConfig(StrictModel):
    """The file that `sitenet train` reads."""

    version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Folder of the training."""
    family: str = "sitenet"
    preset: str = "paper"
    """The family's preset that `configuration` changes."""
    configuration: dict[str, Any] = Field(default_factory=dict)
    """Nested changes to the preset."""
    data: DataConfig
    train_on: Literal["train", "train+validation"] = "train"
    """`train+validation` trains on both for all epochs and keeps the last weights."""


@dataclass(frozen=True)
class Job:
    """A checked training: its file and the configuration that follows from it."""

    config: JobConfig
    trial: TrialConfig


def load_job(path: Path) -> Job:
    """Return the training described in the file at `path`.

    Raises:
        ConfigError: one `FILE:LINE:COLUMN: key: message` line per problem.
    """
    document = load_yaml(path)
    config = validate(JobConfig, document)
    try:
        family = get_family(config.family)
    except ConfigError as error:
        message = str(error).removeprefix("family: ")
        raise document.error([Problem(("family",), message)]) from error
    presets = family.Config.presets
    if config.preset not in presets:
        message = f"no preset {config.preset!r}; {nearest(config.preset, presets)}"
        raise document.error([Problem(("preset",), message)])
    try:
        trial = family.Config.from_preset(config.preset, config.configuration)
    except ValidationError as error:
        problems = problems_of(family.Config, error, ("configuration",))
        raise document.error(problems) from error
    return Job(config, trial)


@dataclass(frozen=True)
class JobOptions:
    """How a job runs; nothing here changes what is computed."""

    folder: Path
    """Folder of this training."""
    resume: bool = False
    """Go on from the last checkpoint; starts where there is none yet."""
    progress: bool = False


@dataclass(frozen=True)
class JobResult:
    """A finished training and the bundle of its weights."""

    fit: FitResult
    bundle: Path


def run_job(
    job: Job, options: JobOptions, on_progress: OnProgress | None = None
) -> JobResult:
    """Build or open the store, split, train, and write the bundle.

    The resolved job and the split are saved in the folder before anything is trained.

    Raises:
        ConfigError: if the folder holds a training with a checkpoint and `resume` is
            not set, or another one than `job`.
        DataError: if the data set cannot be used.
        TrialError: if the training fails.
    """
    last = _claim(job, options)
    data = _prepare(job, options.folder, on_progress)
    fit_options = FitOptions(
        folder=options.folder, resume_from=last, progress=options.progress
    )
    result = fit(job.trial, data, fit_options)
    validated = job.config.train_on == "train"
    bundle = bundle_from_checkpoint(
        options.folder / "bundle",
        result.best_checkpoint if validated else result.last_checkpoint,
        job.trial,
        data,
        {"val_mae": result.best_val_mae},
    )
    return JobResult(result, bundle)


def _claim(job: Job, options: JobOptions) -> Path | None:
    """Return the checkpoint to go on from; without one, save the resolved job.

    A job that has no checkpoint is fixed by nothing: its file may have been mended.
    """
    last = options.folder / "checkpoints" / "last.ckpt"
    file = options.folder / "train.yaml"
    resolved = job.config.model_dump(mode="json")
    resolved["configuration"] = job.trial.model_dump(mode="json", exclude={"family"})
    if not (last.exists() and file.exists()):
        options.folder.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8") as stream:
            YAML(typ="safe").dump(resolved, stream)
        (options.folder / "split.json").unlink(missing_ok=True)
        return None
    if not options.resume:
        raise ConfigError(
            f"{options.folder}: holds a training already; add --resume to go on with "
            "it, or give the new one another name"
        )
    if YAML(typ="safe").load(file.read_text(encoding="utf-8")) != resolved:
        raise ConfigError(
            f"{file}: the training that was begun here has other settings; give the "
            "new one another name"
        )
    return last


def _prepare(job: Job, folder: Path, on_progress: OnProgress | None) -> TrainingData:
    config, family = job.config, get_family(job.config.family)
    store = open_family_store(
        config.data,
        family,
        family.settings(job.trial),
        StoreBuilding(),
        on_progress,
    )
    split = _split(job, folder, store)
    return TrainingData(store, split, config.data.target, config.train_on)


def _split(job: Job, folder: Path, store: PackedStore) -> Split:
    file = folder / "split.json"
    if file.exists():
        return load_split(file)
    split = split_of_store(store, job.config.data, job.trial)
    split.save(file)
    return split
