"""Where packed stores and data sets are kept on this machine."""

import os
from pathlib import Path

from sitenet_core.errors import ConfigError

STORES_VARIABLE = "SITENET_STORES"
DATA_VARIABLE = "SITENET_DATA"


def default_store_root() -> Path:
    """Return the folder of packed stores: `SITENET_STORES` or the user's cache.

    The folder need not exist yet.
    """
    named = os.environ.get(STORES_VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path.home() / ".cache" / "sitenet" / "stores"


def data_root() -> Path | None:
    """Return the folder that relative sources are looked for in, None without one.

    It is `SITENET_DATA`, else `../shared/data` as seen from the working directory
    where that exists.

    Raises:
        ConfigError: if `SITENET_DATA` names something that is not a folder.
    """
    named = os.environ.get(DATA_VARIABLE)
    if named:
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise ConfigError(
                f"{DATA_VARIABLE}={named}: is not a folder; set it to the folder that"
                " holds the data sets, or unset it"
            )
        return folder
    folder = Path("..") / "shared" / "data"
    return folder.resolve() if folder.is_dir() else None
