"""What a study or a training says about its data: source, target, split, limits."""

from typing import Literal

from pydantic import Field

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
    test_fold: int = Field(default=0, ge=0)
    """`fold` only: the fold that is the test set."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Not for `fold`: share of the crystals in the test set."""
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the training part that is held out for validation (20 % in both
    papers). Grouped splits group this cut too."""
    max_training_structures: int | None = Field(default=None, ge=2)
    """Size to which the training part (validation included) is cut down at random,
    seeded; null keeps all of it. The test set is never cut."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice of the split."""


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
