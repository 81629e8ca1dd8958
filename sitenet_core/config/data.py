"""What a study or a training says about its data: source, target, split, limits."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sitenet_core.config.strict import StrictModel


class TargetConfig(StrictModel):
    """The property that is learned, in the user's own words and unit."""

    column: str
    """Column of the source that holds the values."""
    name: str
    """What the property is called in reports and in MLflow, e.g. `band_gap`."""
    unit: str
    """Unit of the values as the model predicts them, e.g. `eV`."""
    sign: Literal[1, -1] = 1
    """Factor applied to the column when it is read; -1 turns a binding energy that is
    listed as positive into a negative formation energy, say."""
    clamp: Literal["none", "non_negative"] = "none"
    """`non_negative` clamps predictions at 0 and passes the gradient (Site-Net,
    doi:10.1039/d3dd00005b, section 3: band gap); `none` is the identity."""


class SplitConfig(StrictModel):
    """Which crystals are trained on, validated on, and tested on, once."""

    kind: Literal["fold", "random", "composition", "prototype"] = "random"
    """`fold`: the source's official folds; `random`; or grouped, so that no reduced
    composition (or no prototype) is on two sides."""
    test_fold: int | None = Field(default=None, ge=0)
    """`fold` only: the fold that is the test set; null is fold 0."""
    test_fraction: float | None = Field(default=None, gt=0, lt=1)
    """Not for `fold`: share of the crystals in the test set; null is 0.2."""
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the training part that is held out for validation (20 % in both
    papers). Grouped splits group this cut too."""
    max_training_structures: int | None = Field(default=None, ge=2)
    """Size to which the training part (validation included) is cut down at random,
    seeded; null keeps all of it. The test set is never cut."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice of the split."""

    @model_validator(mode="after")
    def _nothing_that_the_kind_ignores(self) -> Self:
        if self.kind == "fold" and self.test_fraction is not None:
            raise ValueError(
                "test_fraction says nothing under kind fold, where the source's folds "
                "decide; remove it, or choose the fold by test_fold"
            )
        if self.kind != "fold" and self.test_fold is not None:
            raise ValueError(
                f"test_fold says nothing under kind {self.kind}; remove it, or set "
                "kind to fold"
            )
        return self

    @property
    def tested_fold(self) -> int:
        """The fold that is the test set, if the kind is `fold`."""
        return 0 if self.test_fold is None else self.test_fold

    @property
    def tested_fraction(self) -> float:
        """Share of the crystals in the test set, if the kind is not `fold`."""
        return 0.2 if self.test_fraction is None else self.test_fraction


class DataConfig(StrictModel):
    """Source, target, split and limits of a data set."""

    source: str
    """`embedded`, `matbench:TASK`, or a path to a Parquet table, a folder or zip of
    structure files with a CSV, or a pymatgen JSON file. A relative path is looked for
    under the data folder (`SITENET_DATA`), then in the working directory."""
    labels: str | None = None
    """CSV of a folder or zip, where it does not lie inside it under a known name."""
    target: TargetConfig
    split: SplitConfig = SplitConfig()
    max_failed_fraction: float = Field(default=0.05, ge=0, le=1)
    """Share of unusable structures above which building stops with an error."""
    unit_cell_limit: int | None = Field(default=None, ge=1)
    """Largest primitive cell, in sites, that is trained or validated on; null means
    `cell.max_atoms`. Larger cells are counted, listed and still tested on."""
