"""The studies that come with the package, by name."""

from pathlib import Path

from search.space import spaces_root

_NAMES = ("quickstart",)


def shipped_studies() -> tuple[str, ...]:
    """Return the names of the shipped studies."""
    return _NAMES


def shipped_study(name: str) -> Path | None:
    """Return the file of the shipped study called `name`, None if there is none.

    In a source checkout it lies in `experiments/`; otherwise beside the installed
    spaces.

    Raises:
        ConfigError: if the shipped files are not installed.
    """
    if name not in _NAMES:
        return None
    root = spaces_root().parent
    files = (root / "experiments" / name / "study.yaml", root / name / "study.yaml")
    return next((file for file in files if file.is_file()), None)
