"""The settings that decide a Site-Net store: the `cell` section."""

from typing import Literal

from pydantic import Field

from sitenet_core.config import StrictModel


class CellSettings(StrictModel):
    """How a crystal becomes a supercell; another value means another store."""

    max_atoms: int = Field(default=500, ge=1, le=65_535)
    """Most atoms in a supercell. A primitive cell with more is taken as it is."""
    primitive_tolerance: float | None = Field(default=0.1, gt=0)
    """How far, in Å, atoms may be from a translated copy for the translation to count.

    Matched atoms are averaged, so distortions below it vanish: at 0.5 Å, the published
    value, the tilts of monoclinic WO₃ do (32 sites become 4). Null keeps the cell.
    """
    reduction: Literal["canonical", "none"] = "canonical"
    """`canonical` makes the supercell independent of the basis of the input file;
    `none` is the published behaviour."""
    merge_tolerance: float | None = Field(default=1e-4, gt=0, le=0.1)
    """How far apart, in Å, the distances of pairs that are merged into one may be.

    Equal pairs, and sites that see the same, are stored once with a multiplicity.
    Null merges nothing."""
