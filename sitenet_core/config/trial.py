"""The part of a configuration that every model family shares."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from sitenet_core.config.dotted import merge
from sitenet_core.config.strict import StrictModel


class OptimizerConfig(StrictModel):
    """AdamW as the papers use it; the learning rate is constant."""

    learning_rate: float = Field(default=8.125971481941902e-4, gt=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    epsilon: float = Field(default=1e-7, gt=0, le=1e-2)
    amsgrad: bool = True
    gradient_clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest gradient norm; null does not clip."""


class TrainingConfig(StrictModel):
    """How long and with what arithmetic a configuration is trained."""

    epochs: int = Field(default=500, ge=1)
    """Epochs of a complete training; a rung ends earlier."""
    precision: Literal["32", "16-mixed", "bf16-mixed", "64"] = "32"
    """Arithmetic of the network; `16-mixed` needs a GPU."""
    compile: bool = False
    """Compile the network's inner part by torch at the start: minutes at first, faster
    steps afterwards; results agree to rounding."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights and of the batch order."""


class TrialConfig(StrictModel):
    """Everything that decides what a training computes, data apart.

    A family derives its own class with its sections (`cell`, `features`, `model`,
    `batch`) and a narrower `family`. Presets are complete configurations by name.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Nested changes to the defaults, by preset name."""

    family: str
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()

    @classmethod
    def from_preset(cls, preset: str, changes: dict[str, Any] | None = None) -> Self:
        """Return preset `preset` with the nested `changes` laid over it.

        Raises:
            KeyError: if there is no such preset.
            ValidationError: if the changes do not fit.
        """
        return cls.model_validate(merge(cls.presets[preset], changes or {}))
