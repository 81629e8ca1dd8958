"""Finds space files, shipped or the user's own, and reads them with every error."""

import site
import sysconfig
from pathlib import Path

from search.space.family import name_problems, value_problems
from search.space.parsing import parse_space
from search.space.space import Space
from sitenet_core.config import Problem, TrialConfig, load_yaml, nearest
from sitenet_core.errors import ConfigError

_SUFFIXES = {".yaml", ".yml"}


def spaces_root() -> Path:
    """Return the folder of the shipped spaces.

    In a source checkout (an editable installation too) it is the repository's
    `spaces/`; otherwise `share/sitenet/spaces` under the data folder of the Python
    installation, where the package puts its data files.

    Raises:
        ConfigError: if it is in neither place.
    """
    checkout = Path(__file__).resolve().parents[2] / "spaces"
    bases = [sysconfig.get_path("data"), site.getuserbase()]
    installed = [Path(base) / "share" / "sitenet" / "spaces" for base in bases]
    for folder in (checkout, *installed):
        if (folder / "sitenet").is_dir():
            return folder
    looked = ", ".join(str(folder) for folder in (checkout, *installed))
    raise ConfigError(
        f"the shipped spaces are not installed (looked in {looked}); install the "
        "package again, or give the path of a space file"
    )


def shipped_spaces() -> tuple[str, ...]:
    """Return the names of the shipped spaces, such as `sitenet/quickstart`."""
    root = spaces_root()
    files = sorted(root.glob("*/*.yaml"))
    return tuple(file.relative_to(root).with_suffix("").as_posix() for file in files)


def find_space(name: str, relative_to: Path | None = None) -> Path:
    """Return the file of the space called `name`.

    Args:
        name: name of a shipped space, or path of a file ending in .yaml or .yml.
        relative_to: folder that a relative path starts from (the study file's); None
            is the working directory.

    Raises:
        ConfigError: if there is no such space; it lists the shipped ones.
    """
    if Path(name).suffix in _SUFFIXES:
        path = (relative_to or Path()) / Path(name).expanduser()
        if path.is_file():
            return path
        raise ConfigError(f"{path}: there is no such space file; {_offer(name)}")
    if name in shipped_spaces():
        return spaces_root() / f"{name}.yaml"
    raise ConfigError(f"there is no space called {name!r}; {_offer(name)}")


def load_space(name: str | Path, relative_to: Path | None = None) -> Space:
    """Return the checked space called `name` (see `find_space`).

    Raises:
        ConfigError: every problem of the file, one `FILE:LINE:COLUMN: key: message`
            line each, in the order of the file.
    """
    return read_space(find_space(str(name), relative_to), str(name))


def read_space(
    path: Path, name: str, config_class: type[TrialConfig] | None = None
) -> Space:
    """Return the checked space in the file at `path`.

    Args:
        path: the file.
        name: what the space is called in messages and reports.
        config_class: the family's configuration; None looks the family up.

    Raises:
        ConfigError: see `load_space`.
    """
    document = load_yaml(path)
    space, problems = parse_space(name, document.data)
    if config_class is None:
        config_class, unknown = _config_class(document.data.get("family"))
        problems += unknown
    if config_class is not None:
        misnamed = name_problems(document.data, config_class)
        problems += misnamed
        if space is not None and not misnamed:
            problems += value_problems(space, config_class)
    if space is None or problems:
        raise document.error(dict.fromkeys(problems))
    return space


def _config_class(
    family: object,
) -> tuple[type[TrialConfig] | None, list[Problem]]:
    from sitenet_core.families.registry import family_names, get_family

    if not isinstance(family, str):
        return None, []
    if family in family_names():
        return get_family(family).Config, []
    message = f"unknown family {family!r}; {nearest(family, family_names())}"
    return None, [Problem(("family",), message)]


def _offer(name: str) -> str:
    shipped = shipped_spaces()
    stem = name.removesuffix(".yaml").removesuffix(".yml")
    hint = nearest(stem, shipped)
    known = f"shipped spaces: {', '.join(shipped)}"
    return f"{hint} ({known})" if hint.startswith("did you") else known
