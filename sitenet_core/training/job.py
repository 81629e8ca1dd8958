"""`sitenet train`: one training from one YAML file, ending in a bundle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

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
from sitenet_core.errors import ConfigError
from sitenet_core.families.registry import get_family


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
        raise document.error([Problem(("family",), str(error))]) from error
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
