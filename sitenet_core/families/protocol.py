"""What a model family is: the one door through which models enter the platform."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np

from sitenet_core.config import StrictModel, TargetConfig, TrialConfig
from sitenet_core.data.schema import ArraySpec, FeatureArrays

if TYPE_CHECKING:
    import torch
    from pymatgen.core import Structure

    from sitenet_core.data.ragged import Ragged
    from sitenet_core.structures.cell import Crystal


@dataclass(frozen=True)
class ModelMeta:
    """What a module needs to know of the data it is built for."""

    target: TargetConfig
    n_targets: int = 1
    pair_budget: int | None = None
    """What a module may hold at once, in the unit of `ModelFamily.micro_batch`; above
    it, it works in parts. None is no limit."""


@dataclass(frozen=True)
class MicroBatch:
    """How much of a declared batch goes through the network at once."""

    unit: str
    """A crystal-scope array."""
    budget: int
    """Largest sum of it in a group of crystals."""
    splits: bool
    """Whether the gradients of groups add up to that of the declared batch; where they
    do not (batch norm), it goes through the network whole."""
    smallest: int = 1
    """A smaller budget saves nothing within one crystal."""


@runtime_checkable
class Compilable(Protocol):
    """A module whose inner part torch can compile."""

    def compile_pairs(self) -> None:
        """Compile it, once the module is built."""
        ...


@runtime_checkable
class Budgeted(Protocol):
    """A module that works in parts on what is above a budget."""

    pair_budget: int | None
    """As in `ModelMeta`; may be changed between two batches."""


class Batch(Protocol):
    """Crystals as tensors; concrete families add their fields."""

    @property
    def n_crystals(self) -> int:
        """Number of crystals."""
        ...

    @property
    def targets(self) -> "torch.Tensor":
        """(n_crystals, n_targets), in the target's unit; NaN when predicting."""
        ...

    def to(self, device: "torch.device | str") -> Self:
        """Return the batch on `device`."""
        ...


@dataclass(frozen=True)
class Cost:
    """Training cost of crystals: what they keep, and forward and backward work."""

    bytes: np.ndarray
    """(n_crystals,) kept from the forward to the backward pass, above the weights."""
    flops: np.ndarray
    """(n_crystals,) floating-point operations of matrix products."""
    numbers: np.ndarray
    """(n_crystals,) elementwise work: numbers times what each takes, on a scale of the
    family's own."""
    group_bytes: float = 0.0
    """What a group takes besides, however many crystals it has."""


class ModelFamily(Protocol):
    """How structures become arrays, arrays a batch and a configuration a module.

    Besides, what the platform asks of them: declarations, sizes of batches, cost.
    """

    name: str
    """What `family:` says in YAML."""
    Config: type[TrialConfig]
    """The typed configuration, with sections `cell`, `model` and `batch` at least."""
    schema: Sequence[ArraySpec]
    """Every array that `featurise` returns."""
    inputs: Sequence[str]
    """The arrays of `schema` that `collate` reads, integer counts of crystals too."""
    feature_version: int
    """Raised whenever `featurise` returns other numbers for the same input."""
    default_settings: StrictModel
    """Settings of the store of a default configuration."""
    probes: Sequence[Mapping[str, Any]]
    """Changes of preset `paper`, as different in cost as trials are: a machine is
    calibrated by training each for a moment."""

    def settings(self, config: TrialConfig) -> StrictModel:
        """Return the part of `config` that a store depends on (its cell section)."""
        ...

    def featurise(
        self, structure: "Structure | Crystal", settings: StrictModel
    ) -> dict[str, np.ndarray]:
        """Return the arrays of one crystal: pure, picklable, without torch.

        Sources that hold arrays hand over a `Crystal`, others pymatgen's structure.

        Raises:
            StructureError: if this crystal cannot be taken.
        """
        ...

    def collate(self, ragged: "Ragged", targets: np.ndarray | None) -> Batch:
        """Return one batch on the device of `ragged`, which holds `inputs`.

        `targets` is (n_crystals, n_targets), None to predict. Nothing may wait for the
        device.
        """
        ...

    def build(self, config: TrialConfig, meta: ModelMeta) -> "torch.nn.Module":
        """Return the module: `forward(batch)` gives (n_crystals, n_targets)."""
        ...

    def cost(
        self,
        sizes: Mapping[str, np.ndarray],
        config: TrialConfig,
        *,
        in_parts: bool = False,
    ) -> Cost:
        """Return the cost of each crystal from the crystal-scope arrays in `sizes`.

        `in_parts` is the cost in a group above the budget of `micro_batch`.
        """
        ...

    def batch_budget(self, config: TrialConfig) -> tuple[str, int]:
        """Return what a batch is filled with and up to which total.

        The first is the name of a crystal-scope array, or `crystals`.
        """
        ...

    def micro_batch(self, config: TrialConfig, memory_bytes: int | None) -> MicroBatch:
        """Return how a batch is divided so that a step fits into `memory_bytes`.

        None is a CPU: memory is then no limit, and small groups are the fastest.
        """
        ...


def batch_of(
    family: ModelFamily,
    records: Sequence[FeatureArrays],
    targets: np.ndarray | None = None,
    device: "torch.device | str" = "cpu",
) -> Batch:
    """Return one batch of the arrays that `featurise` or a store gives."""
    # torch is imported where a batch is made, so that featurising stays light.
    from sitenet_core.data.ragged import pack_records

    ragged = pack_records(records, family.schema, family.inputs)
    return family.collate(ragged.to(device), targets)
