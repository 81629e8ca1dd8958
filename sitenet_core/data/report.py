"""What became of every crystal of a source when its store was built."""

from sitenet_core.config.strict import StrictModel


class SkippedRow(StrictModel):
    """A crystal that is not in the store."""

    id: str
    reason: str
    """What was found and what was allowed, in one sentence."""


class BuildReport(StrictModel):
    """Counts and skipped rows; saved as `report.json` in the store."""

    n_read: int
    n_stored: int
    skipped: tuple[SkippedRow, ...] = ()
    """In the source's order."""

    @property
    def failed_fraction(self) -> float:
        """Share of the crystals read that could not be used."""
        return len(self.skipped) / self.n_read if self.n_read else 0.0
