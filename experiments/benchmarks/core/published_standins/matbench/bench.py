"""Imported and never called."""


class MatbenchBenchmark:
    """The published download."""
