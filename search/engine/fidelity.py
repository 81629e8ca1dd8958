"""The fidelity of a study: what its rungs are levels of.

Along epochs, a trial has one level and its rungs lie inside it: it goes on from its
checkpoint. Along a share of the training structures, or the size of the supercells, a
level is a training of its own, from nothing. Epochs are counted on from level to level,
so that a rung is always the number of epochs after which trials are compared, deeper
rungs have greater numbers, and no two levels share one.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One training of a trial, from nothing to its end."""

    begins_after: int
    """Epochs of all levels before it."""
    until_epoch: int
    name: str = ""
    """For a person; empty along epochs."""
    share: float = 1.0
    """Of the training structures."""
    max_atoms: int | None = None
    """Largest supercell; None is what the configuration says."""


@dataclass(frozen=True)
class Fidelity:
    """The levels of a complete trial, the last one at full fidelity."""

    levels: tuple[Level, ...]

    @property
    def epochs(self) -> int:
        """Epochs of a complete trial, all levels together."""
        return self.levels[-1].until_epoch

    @property
    def rungs(self) -> tuple[int, ...]:
        """The end of each level; none where rungs lie inside the only one."""
        return tuple(x.until_epoch for x in self.levels) if self.has_levels else ()

    @property
    def has_levels(self) -> bool:
        """Whether a rung is a training of its own."""
        return len(self.levels) > 1

    def level_of(self, epoch: int) -> Level:
        """Return the level that epoch number `epoch` belongs to; beyond all, the last.

        Args:
            epoch: counted from 1, over all levels.
        """
        return next((x for x in self.levels if epoch <= x.until_epoch), self.levels[-1])

    def name_of(self, rung: int) -> str:
        """Return a rung as a person calls it."""
        return self.level_of(rung).name or f"epoch {rung}"
