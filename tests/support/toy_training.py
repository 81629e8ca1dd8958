"""A family and a store without crystals, to test training quickly and alone.

A toy crystal is a bag of numbers; its target is their mean times two plus one. The
network has batch norm, so that buffers are part of what is saved and resumed.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sitenet_core.config import SplitConfig, StrictModel, TargetConfig, TrialConfig
from sitenet_core.data.ragged import Ragged
from sitenet_core.data.schema import ArraySpec
from sitenet_core.errors import StructureError
from sitenet_core.families import registry
from sitenet_core.families.protocol import Cost, MicroBatch, ModelMeta
from sitenet_core.training import EpochRecord, FitOptions, FitResult, TrainingData, fit


class ToyCell(StrictModel):
    scale: float = 1.0


class ToyModel(StrictModel):
    width: int = 4
    dropout: float = 0.0
    norm: Literal["batch", "none"] = "batch"


class ToyBatchSection(StrictModel):
    beads: int = 12


class ToyConfig(TrialConfig):
    presets: ClassVar[dict[str, dict[str, Any]]] = {"test": {}}

    family: Literal["toy"] = "toy"
    cell: ToyCell = ToyCell()
    model: ToyModel = ToyModel()
    batch: ToyBatchSection = ToyBatchSection()


@dataclass(frozen=True)
class ToyBatch:
    beads: Tensor
    """(n_beads, 1) float32."""
    owner: Tensor
    """(n_beads,) int64."""
    targets: Tensor

    @property
    def n_crystals(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(
            self.beads.to(device), self.owner.to(device), self.targets.to(device)
        )


class ToyNetwork(nn.Module):
    """Norm, one hidden layer per bead, mean over the beads of a crystal."""

    def __init__(self, width: int, dropout: float = 0.0, norm: str = "batch") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, width),
            nn.BatchNorm1d(width) if norm == "batch" else nn.Identity(),
            nn.Tanh(),
            nn.Linear(width, 1),
            nn.Dropout(dropout),
        )

    def forward(self, batch: ToyBatch) -> Tensor:
        if self.training and len(batch.beads) == 1:
            self.layers[1].eval()  # one bead has no variance
        values = self.layers(batch.beads.to(self.layers[0].weight.dtype))
        self.layers[1].train(self.training)
        total = values.new_zeros(batch.n_crystals, 1).index_add(0, batch.owner, values)
        counts = torch.bincount(batch.owner, minlength=batch.n_crystals)[:, None]
        return total / counts


class ToyFamily:
    """The members of a family that training and prediction use."""

    name = "toy"
    Config = ToyConfig
    schema = (
        ArraySpec("n_beads", "crystal", "int32", "-", "number of beads"),
        ArraySpec("beads", "bead", "float32", "-", "values"),
    )
    inputs = ("beads",)
    feature_version = 1
    default_settings = ToyCell()
    probes = ({}, {"model": {"width": 16}})

    def settings(self, config: TrialConfig) -> StrictModel:
        assert isinstance(config, ToyConfig)
        return config.cell

    def featurise(self, structure: Any, settings: StrictModel) -> dict[str, np.ndarray]:
        """Take the number of sites and each atomic number as beads."""
        assert isinstance(settings, ToyCell)
        if len(structure) > 60:
            raise StructureError(f"{len(structure)} sites; the toy takes 60")
        beads = np.array([s.specie.Z for s in structure], np.float32) * settings.scale
        return {"n_beads": np.array([len(beads)], np.int32), "beads": beads}

    def collate(self, ragged: Ragged, targets: np.ndarray | None) -> ToyBatch:
        counts = ragged.sizes["bead"]
        if targets is None:
            targets = np.full((ragged.n_crystals, 1), np.nan)
        return ToyBatch(
            ragged.arrays["beads"][:, None],
            torch.from_numpy(np.repeat(np.arange(len(counts)), counts)),
            torch.from_numpy(targets).float(),
        )

    def build(self, config: TrialConfig, meta: ModelMeta) -> nn.Module:
        assert isinstance(config, ToyConfig)
        assert meta.n_targets == 1
        model = config.model
        return ToyNetwork(model.width, model.dropout, model.norm)

    def cost(
        self,
        sizes: Mapping[str, np.ndarray],
        config: TrialConfig,
        *,
        in_parts: bool = False,
    ) -> Cost:
        assert config.family == "toy"
        n = sizes["n_beads"].ravel().astype(np.float64)
        return Cost(32.0 * n if in_parts else 64.0 * n, 1e3 * n, 1e2 * n)

    def batch_budget(self, config: TrialConfig) -> tuple[str, int]:
        assert isinstance(config, ToyConfig)
        return "n_beads", config.batch.beads

    def micro_batch(self, config: TrialConfig, memory_bytes: int | None) -> MicroBatch:
        assert isinstance(config, ToyConfig)
        assert memory_bytes is None or memory_bytes > 0
        # The network has batch norm.
        return MicroBatch(
            "n_beads", config.batch.beads, splits=config.model.norm == "none"
        )


class ToyStore:
    """The part of PackedStore that training uses, in memory."""

    def __init__(self, n: int = 40, seed: int = 0) -> None:
        numbers = np.random.default_rng(seed)
        self.ids = [f"toy-{i}" for i in range(n)]
        self.digest = f"store-{n}-{seed}"
        self.formulas = ["Na1 Cl1" if i % 2 else "Mg1 O1" for i in range(n)]
        self.header = SimpleNamespace(
            family="toy",
            feature_version=1,
            settings=ToyCell().model_dump(mode="json"),
            source="toy source",
            source_digest=f"source-{n}-{seed}",
        )
        sizes = numbers.integers(1, 6, n)
        self._records = [
            {
                "n_beads": np.array([size], np.int32),
                "beads": numbers.normal(size=size).astype(np.float32),
            }
            for size in sizes
        ]
        means = [float(r["beads"].mean()) for r in self._records]
        self.values = 1 + 2 * np.array(means)

    def record(self, index: int) -> dict[str, np.ndarray]:
        return self._records[index]

    def labels(self, column: str) -> np.ndarray:
        assert column == "y"
        return self.values.astype(np.float64)

    def column(self, name: str) -> np.ndarray:
        return np.array([int(record[name][0]) for record in self._records])

    def index_of(self, ids: Sequence[str]) -> np.ndarray:
        return np.array([self.ids.index(i) for i in ids], dtype=np.int64)


@dataclass(frozen=True)
class ToySplit:
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()
    digest: str = "split-0"
    config: SplitConfig = field(default_factory=SplitConfig)
    excluded: tuple[()] = ()


TARGET = TargetConfig(column="y", name="toy", unit="eV")


def toy_data(
    store: ToyStore | None = None,
    *,
    n_train: int = 24,
    n_validation: int = 9,
    train_on: Literal["train", "train+validation"] = "train",
    target: TargetConfig = TARGET,
) -> TrainingData:
    """Return the first toy crystals to train on, the next to validate, then to test."""
    store = store or ToyStore()
    end = n_train + n_validation
    split = ToySplit(
        tuple(store.ids[:n_train]),
        tuple(store.ids[n_train:end]),
        tuple(store.ids[end:]),
    )
    return TrainingData(store, split, target, train_on)  # type: ignore[arg-type]


def toy_config(
    *, epochs: int = 4, seed: int = 0, precision: str = "32", rate: float = 0.01
) -> ToyConfig:
    """Return a toy configuration."""
    return ToyConfig.model_validate(
        {
            "training": {"epochs": epochs, "seed": seed, "precision": precision},
            "optimizer": {"learning_rate": rate},
        }
    )


FAMILY = ToyFamily()
"""What the registry looks for."""


def register_toy(modules: MutableMapping[str, str]) -> None:
    """Add the toy to the registry's mapping of names to modules."""
    modules["toy"] = __name__


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyFamily:
    """Make the toy a family that the registry knows."""
    monkeypatch.setitem(registry._MODULES, "toy", __name__)
    return FAMILY


def train_toy(
    folder: Path,
    config: ToyConfig | None = None,
    data: TrainingData | None = None,
    *,
    until: int | None = None,
    resume_from: Path | None = None,
) -> tuple[FitResult, list[EpochRecord]]:
    """Return result and records of a toy training in `folder`."""
    records: list[EpochRecord] = []
    options = FitOptions(
        folder, until_epoch=until, resume_from=resume_from, threads=1, device="cpu"
    )
    result = fit(config or toy_config(), data or toy_data(), options, records.append)
    return result, records


def same_tensors(first: Any, second: Any) -> bool:
    """Return whether two trees of tensors and plain values are equal bit for bit."""
    if isinstance(first, Tensor):
        return bool(torch.equal(first, second)) and first.dtype == second.dtype
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(
            same_tensors(first[k], second[k]) for k in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(
            same_tensors(a, b) for a, b in zip(first, second, strict=True)
        )
    return bool(first == second)
